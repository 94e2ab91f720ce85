//! The functions: their names, what they are called with, and the check of that.
//!
//! Knows no syntax. What the functions do is in `body`.

mod body;

use std::borrow::Cow;

use serde_json::Value;

use super::error::JmespathError;
use super::parser::Node;
use super::python;

/// What a function is called with.
pub(super) enum Argument<'v> {
    Value(Cow<'v, Value>),
    /// An expression that the function applies itself.
    Expression(&'v Node),
}

impl Argument<'_> {
    /// The name of its type, in the terms of JMESPath.
    fn kind(&self) -> &'static str {
        match self {
            Self::Value(value) => kind(value),
            Self::Expression(_) => "expref",
        }
    }

    /// Itself in messages.
    fn text(&self) -> String {
        match self {
            Self::Value(value) => python::text(value),
            Self::Expression(_) => "<jmespath.visitor._Expression object>".to_owned(),
        }
    }

    /// The value, where an expression cannot become a part of the result.
    fn plain(&self) -> Result<&Value, JmespathError> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Expression(_) => Err(JmespathError::Reference),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

type Outcome = Result<Value, JmespathError>;

/// What one parameter accepts: names of types; none for everything. `array-number` is an array of
/// numbers; of several such names the first element decides which one holds.
type Types = &'static [&'static str];

const ANY: Types = &[];
const ARRAY: Types = &["array"];
const EXPRESSION: Types = &["expref"];
const NUMBER: Types = &["number"];
const NUMBERS: Types = &["array-number"];
const OBJECT: Types = &["object"];
const STRING: Types = &["string"];
const STRING_OR_NUMBER: Types = &["string", "number"];
const NUMBER_OR_STRING: Types = &["number", "string"];

struct Function {
    name: &'static str,
    parameters: &'static [Types],
    /// Whether more arguments than parameters are accepted; of these any, and without a check.
    variadic: bool,
    body: fn(&[Argument<'_>]) -> Outcome,
}

const fn fixed(
    name: &'static str,
    parameters: &'static [Types],
    body: fn(&[Argument<'_>]) -> Outcome,
) -> Function {
    Function {
        name,
        parameters,
        variadic: false,
        body,
    }
}

const fn variadic(
    name: &'static str,
    parameters: &'static [Types],
    body: fn(&[Argument<'_>]) -> Outcome,
) -> Function {
    Function {
        name,
        parameters,
        variadic: true,
        body,
    }
}

const FUNCTIONS: &[Function] = &[
    fixed("abs", &[NUMBER], body::abs),
    fixed("avg", &[NUMBERS], body::avg),
    fixed("ceil", &[NUMBER], body::ceil),
    fixed("contains", &[&["array", "string"], ANY], body::contains),
    fixed("ends_with", &[STRING, STRING], body::ends_with),
    fixed("floor", &[NUMBER], body::floor),
    fixed("join", &[STRING, &["array-string"]], body::join),
    fixed("keys", &[OBJECT], body::keys),
    fixed("length", &[&["string", "array", "object"]], body::length),
    fixed("map", &[EXPRESSION, ARRAY], body::map),
    fixed("max", &[&["array-number", "array-string"]], body::max),
    fixed("max_by", &[ARRAY, EXPRESSION], body::max_by),
    variadic("merge", &[OBJECT], body::merge),
    fixed("min", &[&["array-number", "array-string"]], body::min),
    fixed("min_by", &[ARRAY, EXPRESSION], body::min_by),
    variadic("not_null", &[ANY], body::not_null),
    fixed("reverse", &[&["array", "string"]], body::reverse),
    fixed("sort", &[&["array-string", "array-number"]], body::sort),
    fixed("sort_by", &[ARRAY, EXPRESSION], body::sort_by),
    fixed("starts_with", &[STRING, STRING], body::starts_with),
    fixed("sum", &[NUMBERS], body::sum),
    fixed("to_array", &[ANY], body::to_array),
    fixed("to_number", &[ANY], body::to_number),
    fixed("to_string", &[ANY], body::to_string),
    fixed("type", &[ANY], body::type_of),
    fixed("values", &[OBJECT], body::values),
];

/// Calls the function of that name.
pub(super) fn call(name: &str, arguments: &[Argument<'_>]) -> Outcome {
    let named = FUNCTIONS.iter().find(|function| function.name == name);
    let function = named.ok_or_else(|| JmespathError::UnknownFunction {
        name: name.to_owned(),
    })?;
    function.check(arguments)?;
    (function.body)(arguments)
}

impl Function {
    fn check(&self, arguments: &[Argument<'_>]) -> Result<(), JmespathError> {
        let (function, expected, actual) = (self.name, self.parameters.len(), arguments.len());
        if self.variadic && actual < expected {
            return Err(JmespathError::VariadicArity {
                function,
                expected,
                actual,
            });
        }
        if !self.variadic && actual != expected {
            return Err(JmespathError::Arity {
                function,
                expected,
                actual,
            });
        }
        for (&types, argument) in self.parameters.iter().zip(arguments) {
            self.check_type(types, argument)?;
        }
        Ok(())
    }

    fn check_type(&self, types: Types, argument: &Argument<'_>) -> Result<(), JmespathError> {
        let fault = |value: String, received: &'static str| JmespathError::Type {
            function: self.name,
            value,
            expected: types,
            received,
        };
        let received = argument.kind();
        let outer = |name: &str| name.split('-').next() == Some(received);
        if !types.is_empty() && !types.iter().any(|name| outer(name)) {
            return Err(fault(argument.text(), received));
        }
        let inner: Vec<&str> = types
            .iter()
            .filter_map(|name| name.split_once('-'))
            .map(|(_, name)| name)
            .collect();
        let Argument::Value(value) = argument else {
            return Ok(());
        };
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        if let (Some(first), false) = (items.first(), inner.is_empty()) {
            let wanted = inner.into_iter().find(|name| *name == kind(first));
            if let Some(wrong) = items.iter().find(|item| Some(kind(item)) != wanted) {
                return Err(fault(python::text(wrong), python::type_name(wrong)));
            }
        }
        Ok(())
    }
}
