//! Expressions without a template around them: bounded as templates are.

use std::collections::BTreeSet;

use minijinja::{Environment, Error, Expression, UndefinedBehavior};

use super::{environment, on_a_deep_stack, tags};
use crate::chat::python_method;

/// An environment for expressions: strict about names, with Python's methods of texts.
///
/// # Errors
/// None that can happen: the syntax is fixed.
pub fn expressions() -> Result<Environment<'static>, Error> {
    let mut environment = environment()?;
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_unknown_method_callback(python_method);
    Ok(environment)
}

/// Compiles an expression.
///
/// # Errors
/// It is none, or too long or too deeply nested to be looked at.
pub fn expression<'a>(environment: &'a Environment<'static>, source: &str) -> Result<Expression<'a, 'static>, Error> {
    tags::check(&format!("{{{{ {source} }}}}"))?;
    on_a_deep_stack(|| environment.compile_expression_owned(source.to_owned()))
}

/// The names that an expression looks up, but for those of the environment's own functions.
pub fn names(environment: &Environment<'static>, expression: &Expression<'_, 'static>) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = on_a_deep_stack(|| expression.undeclared_variables(false)).into_iter().collect();
    for (global, _) in environment.globals() {
        names.remove(global);
    }
    names
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    #[test]
    fn expressions_are_bounded_and_strict() {
        let environment = expressions().unwrap();
        let eval = |source: &str| {
            let compiled = expression(&environment, source)?;
            compiled.eval(context!(a => "Word", n => 3)).map(|value| value.to_string())
        };
        assert_eq!(eval("a.lower() ~ n").unwrap(), "word3");
        assert_eq!(eval("a|length > n and n is odd").unwrap(), "True");
        assert!(eval("b + 1").is_err() && eval("a +").is_err() && eval("").is_err());
        // Work, output and nesting are bounded.
        assert!(eval("range(9999)|map('string')|join(a * 9999)|length").is_err());
        let nested = format!("{}1{}", "(".repeat(3000), ")".repeat(3000));
        assert!(eval(&nested).is_err());
        let names_of = |source: &str| names(&environment, &expression(&environment, source).unwrap());
        assert_eq!(names_of("a ~ b.c|default(range(n))"), ["a", "b", "n"].map(str::to_owned).into());
    }
}
