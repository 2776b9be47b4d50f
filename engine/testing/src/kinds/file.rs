//! Rows from a file.

use std::path::PathBuf;

use pipe_engine::{
    context::StageContext,
    kind::{PortType, Ports, Source, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    probe::Probe,
    texts::{ports, write},
};

pub(crate) struct FileLines(pub(crate) Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileParams {
    /// Which file; its content is in the key.
    #[schemars(extend("x-operational" = true))]
    path: PathBuf,
    /// An environment variable whose value is put in front.
    #[serde(default)]
    greet: Option<String>,
}

impl StageKind for FileLines {
    type Params = FileParams;
    const NAME: &'static str = "file";
    const VERSION: u32 = 1;

    fn ports(&self, _: &FileParams) -> Ports {
        ports(&[], PortType::Table)
    }

    fn sources(&self, params: &FileParams) -> Result<Vec<Source>, StageError> {
        let mut sources = vec![Source::Path { label: "path".into(), path: params.path.clone() }];
        sources.extend(params.greet.clone().map(|name| Source::Env { name }));
        Ok(sources)
    }

    fn run(&self, params: &FileParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        let path = cx.base_dir().join(&params.path);
        let text = std::fs::read_to_string(&path).map_err(|e| StageError::other("read", e))?;
        let greeting = params.greet.as_ref().and_then(|name| cx.env(name)).unwrap_or_default();
        write(cx, &text.lines().map(|l| format!("{greeting}{l}")).collect::<Vec<_>>())
    }
}
