//! Kinds with the parameters and ports of real ones, one file each, for all that happens before anything runs. They
//! compute nothing.

/// A kind of these parameters and ports.
macro_rules! kind {
    ($kind:ident, $name:literal, $params:ty, $ports:expr $(, check = $check:expr)?) => {
        pub(crate) struct $kind;

        impl pipe_engine::kind::StageKind for $kind {
            type Params = $params;
            const NAME: &'static str = $name;
            const VERSION: u32 = 1;

            fn ports(&self, params: &Self::Params) -> Ports {
                let ports: fn(&$params) -> Ports = $ports;
                ports(params)
            }
            $(fn check(&self, params: &Self::Params) -> Vec<ParamProblem> {
                let check: fn(&$params) -> Vec<ParamProblem> = $check;
                check(params)
            })?
            fn run(
                &self,
                _: &Self::Params,
                _: &mut pipe_engine::context::StageContext,
            ) -> Result<(), pipe_engine::kind::StageError> {
                Err(pipe_engine::kind::StageError::user("this kind is for tests of what happens before a run"))
            }
        }
    };
}

mod compare;
mod evaluate;
mod generate;
mod report;
mod sample;
mod script;
mod table;
mod train;

use pipe_engine::kind::Registry;

/// All of them.
pub fn registry() -> Registry {
    Registry::default()
        .with(table::Table)
        .with(sample::Sample)
        .with(generate::Generate)
        .with(train::Train)
        .with(evaluate::Evaluate)
        .with(compare::Compare)
        .with(report::Report)
        .with(script::Script)
}
