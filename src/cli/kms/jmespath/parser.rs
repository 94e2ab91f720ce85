//! Tokens to a tree, by binding powers ("top down operator precedence", V. Pratt, 1973).
//!
//! Knows no document and no function. Where a text is accepted that the grammar does not have, the
//! AWS CLI accepts it too: a missing comma in `{a: b c: d}` or `f(a b)`, one too many in `f(a,)`.

use serde_json::Value;

use super::error::JmespathError;
use super::lexer::{self, Comparison, Placed, Token};

/// What [`Node::depth`] and the nesting of the text may reach; people do not get past 20.
pub(super) const DEEPEST: usize = 128;

/// A token that binds less ends what is applied to each element of a projection.
const PROJECTION_STOP: u8 = 10;

/// A node of the tree.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// How deep its evaluation recurses, and by how much its result nests deeper than what it is
    /// applied to: an upper bound of both. A field has 1.
    depth: usize,
}

/// What a node stands for.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// The value that it is applied to.
    Current,
    Field(String),
    Literal(Value),
    Index(i64),
    /// Start, end and step.
    Slice([Option<i64>; 3]),
    /// Each applied to the result of the one before: `a.b` and `a | b`.
    Chain(Vec<Node>),
    /// The same for `a[0]`. A slice after an index belongs here too, and is no projection.
    Indexed(Vec<Node>),
    /// The first that is as true as the flag, else the last: `||` (true) and `&&` (false).
    First(bool, Vec<Node>),
    Not(Box<Node>),
    Compare(Comparison, Box<[Node; 2]>),
    List(Vec<Node>),
    Hash(Vec<(String, Node)>),
    Flatten(Box<Node>),
    /// An array, and what is applied to each element.
    Projection(Box<[Node; 2]>),
    /// An object, and what is applied to each value.
    Values(Box<[Node; 2]>),
    /// An array, the condition, and what is applied to each element that meets it.
    Filter(Box<[Node; 3]>),
    Call(String, Vec<Node>),
    /// An expression that a function applies itself: `&a`.
    Reference(Box<Node>),
}

impl Node {
    fn new(kind: Kind) -> Self {
        let highest = |nodes: &[Self]| nodes.iter().map(|node| node.depth).max().unwrap_or(0);
        // What one makes deeper the next can make deeper still.
        let sum = |nodes: &[Self]| 1 + nodes.iter().map(|node| node.depth - 1).sum::<usize>();
        let below = match &kind {
            Kind::Current | Kind::Field(_) | Kind::Literal(_) | Kind::Index(_) | Kind::Slice(_) => {
                0
            }
            Kind::Not(node) | Kind::Flatten(node) | Kind::Reference(node) => node.depth,
            Kind::Compare(_, nodes) => highest(nodes.as_slice()),
            Kind::First(_, nodes) | Kind::List(nodes) => highest(nodes),
            Kind::Hash(members) => {
                let depths = members.iter().map(|(_, node)| node.depth);
                depths.max().unwrap_or(0)
            }
            Kind::Chain(nodes) | Kind::Indexed(nodes) | Kind::Call(_, nodes) => sum(nodes),
            Kind::Projection(nodes) | Kind::Values(nodes) => sum(nodes.as_slice()),
            Kind::Filter(nodes) => sum(nodes.as_slice()),
        };
        Self {
            kind,
            depth: 1 + below,
        }
    }

    fn current() -> Self {
        Self::new(Kind::Current)
    }

    fn projection(left: Self, right: Self) -> Self {
        Self::new(Kind::Projection(Box::new([left, right])))
    }

    fn values(left: Self, right: Self) -> Self {
        Self::new(Kind::Values(Box::new([left, right])))
    }

    /// `self.next` and `self | next`; a chain of them is one node, however long.
    fn then(self, next: Self) -> Self {
        match self.kind {
            Kind::Chain(mut nodes) => {
                let depth = self.depth + next.depth - 1;
                nodes.push(next);
                Self {
                    kind: Kind::Chain(nodes),
                    depth,
                }
            }
            _ => Self::new(Kind::Chain(vec![self, next])),
        }
    }

    /// `self || next` for true, `self && next` for false; a chain of them is one node as well.
    fn or_else(self, wanted: bool, next: Self) -> Self {
        match self.kind {
            Kind::First(flag, mut nodes) if flag == wanted => {
                let depth = self.depth.max(next.depth + 1);
                nodes.push(next);
                Self {
                    kind: Kind::First(flag, nodes),
                    depth,
                }
            }
            _ => Self::new(Kind::First(wanted, vec![self, next])),
        }
    }
}

type Parsed = Result<Node, JmespathError>;

/// Reads an expression.
pub(super) fn parse(text: &str) -> Parsed {
    let mut parser = Parser {
        text,
        tokens: lexer::tokens(text)?,
        index: 0,
        nesting: 0,
    };
    let node = parser.expression(0)?;
    match parser.current() {
        Token::Eof => Ok(node),
        token => Err(parser.fault(parser.index, format!("Unexpected token: {}", token.text()))),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed>,
    /// Of the token that comes next.
    index: usize,
    /// How many expressions are begun and not ended.
    nesting: usize,
}

impl Parser<'_> {
    fn placed(&self, index: usize) -> &Placed {
        // There is always an Eof.
        &self.tokens[index.min(self.tokens.len() - 1)]
    }

    fn current(&self) -> &Token {
        &self.placed(self.index).token
    }

    fn fault(&self, index: usize, fact: impl Into<String>) -> JmespathError {
        let found = self.placed(index);
        JmespathError::Parse {
            fact: fact.into(),
            at: found.at,
            token: found.token.text(),
            kind: found.token.name(),
            expression: self.text.to_owned(),
        }
    }

    fn incomplete(&self) -> JmespathError {
        JmespathError::Incomplete {
            expression: self.text.to_owned(),
        }
    }

    /// The fault that something else than `wanted` comes next.
    fn unexpected(&self, wanted: &str) -> JmespathError {
        match self.current() {
            Token::Eof => self.incomplete(),
            token => self.fault(
                self.index,
                format!("Expecting: {wanted}, got: {}", token.name()),
            ),
        }
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), JmespathError> {
        if self.current() != wanted {
            return Err(self.unexpected(wanted.name()));
        }
        self.index += 1;
        Ok(())
    }

    /// An expression up to a token that binds no more than `power`.
    fn expression(&mut self, power: u8) -> Parsed {
        self.nesting += 1;
        if self.nesting > DEEPEST {
            return Err(JmespathError::TooDeep);
        }
        let mut left = self.prefix()?;
        loop {
            if left.depth > DEEPEST {
                return Err(JmespathError::TooDeep);
            }
            if self.current().power() <= power {
                break;
            }
            left = self.infix(left)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    /// What begins an expression.
    fn prefix(&mut self) -> Parsed {
        let begin = self.index;
        let token = self.current().clone();
        self.index += 1;
        Ok(match token {
            Token::Literal(value) => Node::new(Kind::Literal(value)),
            Token::Unquoted(name) => Node::new(Kind::Field(name)),
            Token::Quoted(name) => {
                if *self.current() == Token::Lparen {
                    return Err(JmespathError::Parse {
                        fact: "Quoted identifier not allowed for function names.".to_owned(),
                        at: 0,
                        token: Token::Lparen.text(),
                        kind: Token::Lparen.name(),
                        expression: self.text.to_owned(),
                    });
                }
                Node::new(Kind::Field(name))
            }
            Token::Star => {
                let right = self.projected(Token::Star.power())?;
                Node::values(Node::current(), right)
            }
            Token::Filter => self.filter(Node::current())?,
            Token::Flatten => self.flatten(Node::current())?,
            Token::Lbrace => self.hash()?,
            Token::Lbracket => self.bracket()?,
            Token::Lparen => {
                let inner = self.expression(0)?;
                self.expect(&Token::Rparen)?;
                inner
            }
            Token::Not => Node::new(Kind::Not(Box::new(self.expression(Token::Not.power())?))),
            Token::Current => Node::current(),
            Token::Expref => {
                let inner = self.expression(Token::Expref.power())?;
                Node::new(Kind::Reference(Box::new(inner)))
            }
            Token::Eof => return Err(self.incomplete()),
            _ => return Err(self.fault(begin, "invalid token")),
        })
    }

    /// What continues an expression.
    fn infix(&mut self, left: Node) -> Parsed {
        let begin = self.index;
        let token = self.current().clone();
        let power = token.power();
        self.index += 1;
        Ok(match token {
            Token::Dot if *self.current() == Token::Star => {
                self.index += 1;
                let right = self.projected(power)?;
                Node::values(left, right)
            }
            Token::Dot => left.then(self.member(power)?),
            Token::Pipe => left.then(self.expression(power)?),
            Token::Or => left.or_else(true, self.expression(power)?),
            Token::And => left.or_else(false, self.expression(power)?),
            Token::Compare(comparison) => {
                let right = self.expression(power)?;
                Node::new(Kind::Compare(comparison, Box::new([left, right])))
            }
            Token::Flatten => self.flatten(left)?,
            Token::Filter => self.filter(left)?,
            Token::Lbracket => self.bracket_after(left)?,
            Token::Lparen => self.call(left)?,
            _ => return Err(self.fault(begin, "invalid token")),
        })
    }

    /// What a projection applies to each element.
    fn projected(&mut self, power: u8) -> Parsed {
        if self.current().power() < PROJECTION_STOP {
            return Ok(Node::current());
        }
        match self.current() {
            Token::Lbracket | Token::Filter => self.expression(power),
            Token::Dot => {
                self.index += 1;
                self.member(power)
            }
            _ => Err(self.fault(self.index, "syntax error")),
        }
    }

    /// What follows a dot.
    fn member(&mut self, power: u8) -> Parsed {
        match self.current() {
            Token::Quoted(_) | Token::Unquoted(_) | Token::Star => self.expression(power),
            Token::Lbracket => {
                self.index += 1;
                self.list()
            }
            Token::Lbrace => {
                self.index += 1;
                self.hash()
            }
            token => Err(self.fault(
                self.index,
                format!(
                    "Expecting: ['quoted_identifier', 'unquoted_identifier', 'lbracket', \
                     'lbrace'], got: {}",
                    token.name()
                ),
            )),
        }
    }

    /// After `[` at the beginning of an expression.
    fn bracket(&mut self) -> Parsed {
        if self.is_at_index() {
            let index = self.index_or_slice()?;
            return self.indexed(Node::current(), index);
        }
        if *self.current() == Token::Star && self.placed(self.index + 1).token == Token::Rbracket {
            self.index += 2;
            let right = self.projected(Token::Star.power())?;
            return Ok(Node::projection(Node::current(), right));
        }
        self.list()
    }

    /// After `left[`.
    fn bracket_after(&mut self, left: Node) -> Parsed {
        if self.is_at_index() {
            let index = self.index_or_slice()?;
            return match left.kind {
                Kind::Indexed(mut nodes) => {
                    nodes.push(index);
                    Ok(Node {
                        kind: Kind::Indexed(nodes),
                        depth: left.depth,
                    })
                }
                _ => self.indexed(left, index),
            };
        }
        self.expect(&Token::Star)?;
        self.expect(&Token::Rbracket)?;
        let right = self.projected(Token::Star.power())?;
        Ok(Node::projection(left, right))
    }

    fn is_at_index(&self) -> bool {
        matches!(self.current(), Token::Number(_) | Token::Colon)
    }

    /// `left[index]`; a slice projects what follows.
    fn indexed(&mut self, left: Node, index: Node) -> Parsed {
        let slices = matches!(index.kind, Kind::Slice(_));
        let node = Node::new(Kind::Indexed(vec![left, index]));
        if !slices {
            return Ok(node);
        }
        let right = self.projected(Token::Star.power())?;
        Ok(Node::projection(node, right))
    }

    /// `0]` or `start:end:step]`.
    fn index_or_slice(&mut self) -> Parsed {
        let slices = self.placed(self.index + 1).token == Token::Colon;
        if let (&Token::Number(index), false) = (self.current(), slices) {
            self.index += 1;
            self.expect(&Token::Rbracket)?;
            return Ok(Node::new(Kind::Index(index)));
        }
        let mut parts = [None; 3];
        let mut part = 0;
        while *self.current() != Token::Rbracket {
            match *self.current() {
                Token::Colon if part < 2 => part += 1,
                Token::Number(number) => parts[part] = Some(number),
                _ => return Err(self.fault(self.index, "syntax error")),
            }
            self.index += 1;
        }
        self.index += 1;
        Ok(Node::new(Kind::Slice(parts)))
    }

    /// After `left[?`.
    fn filter(&mut self, left: Node) -> Parsed {
        let condition = self.expression(0)?;
        self.expect(&Token::Rbracket)?;
        let right = self.projected(Token::Filter.power())?;
        Ok(Node::new(Kind::Filter(Box::new([left, condition, right]))))
    }

    /// After `left[]`.
    fn flatten(&mut self, left: Node) -> Parsed {
        let left = Node::new(Kind::Flatten(Box::new(left)));
        let right = self.projected(Token::Flatten.power())?;
        Ok(Node::projection(left, right))
    }

    /// After `[` of a list of expressions.
    fn list(&mut self) -> Parsed {
        let mut items = vec![self.expression(0)?];
        while *self.current() != Token::Rbracket {
            self.expect(&Token::Comma)?;
            items.push(self.expression(0)?);
        }
        self.index += 1;
        Ok(Node::new(Kind::List(items)))
    }

    /// After `{`.
    fn hash(&mut self) -> Parsed {
        let mut members = Vec::new();
        loop {
            let name = match self.current() {
                Token::Quoted(name) | Token::Unquoted(name) => name.clone(),
                _ => return Err(self.unexpected("['quoted_identifier', 'unquoted_identifier']")),
            };
            self.index += 1;
            self.expect(&Token::Colon)?;
            members.push((name, self.expression(0)?));
            match self.current() {
                Token::Comma => self.index += 1,
                Token::Rbrace => break,
                _ => {}
            }
        }
        self.index += 1;
        Ok(Node::new(Kind::Hash(members)))
    }

    /// After `left(`.
    fn call(&mut self, left: Node) -> Parsed {
        let Kind::Field(name) = left.kind else {
            let before = self.index.saturating_sub(2);
            let named = self.placed(before).token.text();
            return Err(self.fault(before, format!("Invalid function name '{named}'")));
        };
        let mut arguments = Vec::new();
        while *self.current() != Token::Rparen {
            arguments.push(self.expression(0)?);
            if *self.current() == Token::Comma {
                self.index += 1;
            }
        }
        self.index += 1;
        Ok(Node::new(Kind::Call(name, arguments)))
    }
}
