//! Expressions without a template around them: bounded as templates are.

use std::collections::BTreeSet;

use minijinja::{Environment, Error, Expression, UndefinedBehavior, Value};

use super::{compared, environment, on_a_deep_stack, tags};
use crate::chat::python_method;

/// An environment for expressions: strict about names and about what is compared, with Python's methods of texts.
///
/// # Errors
/// None that can happen: the syntax is fixed.
pub fn expressions() -> Result<Environment<'static>, Error> {
    let mut environment = environment()?;
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_unknown_method_callback(python_method);
    environment.add_function(compared::COMPARED, |a: Value, order: &str, b: Value| compared::compared(&a, order, &b));
    Ok(environment)
}

/// Compiles an expression.
///
/// # Errors
/// It is none, or too long or too deeply nested to be looked at.
pub fn expression<'a>(environment: &'a Environment<'static>, source: &str) -> Result<Expression<'a, 'static>, Error> {
    tags::check(&format!("{{{{ {source} }}}}"))?;
    on_a_deep_stack(|| {
        // An error is about what was written.
        environment.compile_expression(source)?;
        environment.compile_expression_owned(compared::guarded(source))
    })
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
        assert_eq!(eval("n < 4.5 and not a > 'X' and [1] < [1, n] and true >= 1").unwrap(), "True");
        for (source, said) in [
            ("none < n", "`<` compares none with number"),
            ("(a >= n)|int", "`>=` compares string with number"),
            ("[n > none]", "`>` compares number with none"),
            ("[n][3] < n", "undefined"),
        ] {
            let error = eval(source).unwrap_err().to_string();
            assert!(error.contains(said), "{source}: {error}");
        }
        assert_eq!(eval("none == n or a != n").unwrap(), "True", "whatever it is, it is another");
        // Work, output and nesting are bounded.
        assert!(eval("range(9999)|map('string')|join(a * 9999)|length").is_err());
        let nested = format!("{}1{}", "(".repeat(3000), ")".repeat(3000));
        assert!(eval(&nested).is_err());
        let names_of = |source: &str| names(&environment, &expression(&environment, source).unwrap());
        assert_eq!(names_of("a ~ b.c|default(range(n))"), ["a", "b", "n"].map(str::to_owned).into());
    }
}
