//! JMESPath: what `--query` of the AWS CLI v1 takes, over JSON documents.
//!
//! ```text
//!   text ─► lexer ─► tokens ─► parser ─► Node ─┐
//!                                              ├─► evaluate (functions) ─► result
//!                                 document ────┘
//! ```
//!
//! Owns the language: its grammar, its functions and every text of its errors. The AWS CLI has it
//! from a Python package, and the rules of Python show in results and messages: they are collected
//! in `python`. Knows no operation of the KMS, no option and no output format.
//!
//! Invariants: members keep their order (that of the document, or the one an expression is written
//! in); no expression can use up the stack, since [`parser::DEEPEST`] bounds the recursion of the
//! parser and of the evaluation, and by how much a result nests deeper than the document.
//!
//! Source: the JMESPath specification, and the behaviour of jmespath.py 1.0, which differs.

mod error;
mod evaluate;
mod functions;
mod lexer;
mod parser;
mod python;

use serde_json::Value;

pub use error::JmespathError;
use parser::Node;

/// An expression that can be searched for in any number of documents.
#[derive(Debug, Clone)]
pub struct Expression {
    root: Node,
}

/// Reads an expression.
///
/// # Errors
/// What is wrong with the text, and where. The names of functions, and the number and types of
/// their arguments, are only looked at when a function is called.
pub fn compile(text: &str) -> Result<Expression, JmespathError> {
    Ok(Expression {
        root: parser::parse(text)?,
    })
}

impl Expression {
    /// Returns what the expression stands for in `document`; `null` when there is no such thing.
    ///
    /// # Errors
    /// A call of a function that cannot be, values that cannot be compared, and a slice with step 0.
    pub fn search(&self, document: &Value) -> Result<Value, JmespathError> {
        evaluate::bound_by(document);
        evaluate::evaluate(&self.root, document).map(std::borrow::Cow::into_owned)
    }
}

#[cfg(test)]
mod tests;
