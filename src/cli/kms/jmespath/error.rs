//! Everything that can be wrong with an expression or its evaluation, in the words of the AWS CLI.

/// What is wrong with an expression, or why it cannot be evaluated.
///
/// Places (`at`) and columns count characters from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each field is")]
pub enum JmespathError {
    /// The expression is the empty text.
    #[error("Invalid JMESPath expression: cannot be empty.")]
    Empty,
    /// A place where no token can be read.
    #[error("Bad jmespath expression: {fact}:\n{expression}\n{}", caret(*at))]
    Lexer {
        fact: String,
        at: usize,
        expression: String,
    },
    /// A token that cannot stand where it does; `kind` is the name of its type.
    #[error(
        "{fact}: Parse error at column {at}, token \"{token}\" ({}), for expression:\n\"{expression}\"\n {}",
        kind.to_uppercase(),
        caret(*at)
    )]
    Parse {
        fact: String,
        at: usize,
        token: String,
        kind: &'static str,
        expression: String,
    },
    /// The expression ends too early.
    #[error(
        "Invalid jmespath expression: Incomplete expression:\n\"{expression}\"\n {}",
        caret(expression.chars().count())
    )]
    Incomplete { expression: String },
    /// The expression nests deeper than is accepted. No text of the AWS CLI.
    #[error("expression is nested too deeply")]
    TooDeep,
    /// A result grows out of all proportion to the document. No text of the AWS CLI.
    #[error("the result grows too large")]
    TooLarge,
    /// A call of a function that does not exist.
    #[error("Unknown function: {name}()")]
    UnknownFunction { name: String },
    /// A wrong number of arguments.
    #[error("Expected {} for function {function}(), received {actual}", arguments(*expected))]
    Arity {
        function: &'static str,
        expected: usize,
        actual: usize,
    },
    /// Too few arguments of a function that takes any number above a least one.
    #[error(
        "Expected at least {} for function {function}(), received {actual}",
        arguments(*expected)
    )]
    VariadicArity {
        function: &'static str,
        expected: usize,
        actual: usize,
    },
    /// A value that a function cannot take.
    #[error(
        "In function {function}(), invalid type for value: {value}, expected one of: {}, received: \"{received}\"",
        list(expected)
    )]
    Type {
        function: &'static str,
        value: String,
        expected: &'static [&'static str],
        received: &'static str,
    },
    /// A number compared with a string.
    #[error("'{operator}' not supported between instances of '{left}' and '{right}'")]
    Unorderable {
        operator: &'static str,
        left: &'static str,
        right: &'static str,
    },
    /// `contains()` asked for something in a string that is none.
    #[error("'in <string>' requires string as left operand, not {found}")]
    NotInString { found: &'static str },
    /// `to_number()` of an expression reference.
    #[error(
        "int() argument must be a string, a bytes-like object or a real number, not '_Expression'"
    )]
    NoNumber,
    /// `merge()` with something that has no members.
    #[error("'{found}' object is not iterable")]
    NotIterable { found: &'static str },
    /// `merge()` with an array, one element of which is no pair.
    #[error("cannot convert dictionary update sequence element #{at} to a sequence")]
    NoPair { at: usize },
    /// `merge()` with an array or string, one element of which has not two parts.
    #[error("dictionary update sequence element #{at} has length {length}; 2 is required")]
    PairLength { at: usize, length: usize },
    /// `merge()` with an array of pairs, one of which cannot name a member.
    #[error("unhashable type: '{found}'")]
    Unhashable { found: &'static str },
    /// A slice that would never advance.
    #[error("slice step cannot be zero")]
    SliceStep,
    /// An expression reference that is part of the result, where no function takes it.
    #[error("Circular reference detected")]
    Reference,
}

/// The line that points at a place.
fn caret(at: usize) -> String {
    let mut line = " ".repeat(at);
    line.push('^');
    line
}

fn arguments(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} argument{plural}")
}

/// `['array', 'string']`.
fn list(names: &[&str]) -> String {
    format!("['{}']", names.join("', '"))
}
