//! `--output table`: boxes of ASCII characters as wide as the widest of them.
//!
//! A value becomes a list of sections, each with a title, headers and rows: a structure is one row
//! of its scalars, a list of structures is one row each under shared headers, and what is nested
//! is a section of its own, one edge further in:
//!
//! ```text
//! ---------------------------
//! |    ListResourceTags     |  the title, centred
//! +-------------------------+
//! ||         Tags          ||  the list, one edge further in
//! |+----------+------------+|
//! ||  TagKey  | TagValue   ||  headers, centred
//! |+----------+------------+|
//! ||  Purpose |  Test      ||  a row, two blanks in
//! |+----------+------------+|
//! ```
//!
//! If that is wider than the terminal, every section of a single row is turned, one line for each
//! header; nothing is ever wrapped or cut. Nothing is written before all sections are complete.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::columns::columns;
use super::{Printed, Unprintable};
use crate::cli::kms::python::json as python;

/// Two blanks on either side of a cell.
const PADDING: usize = 4;
/// One edge on either side of a row.
const BORDER: usize = 2;
/// A section without a title is measured as if Python's `None` were its title.
const UNTITLED: usize = 4;

const CELL: &str = "\x1b[1m\x1b[34m"; // bright, blue
const EDGE: &str = "\x1b[2m\x1b[33m"; // dim, yellow
const RESET: &str = "\x1b[0m";

/// Formats `value` under `title`, the name of the operation, for a terminal of `width` columns (80
/// if standard output is none).
///
/// A false value (`null`, `0`, `""`, `[]`..) prints nothing, any other scalar only the title.
pub fn table(title: &str, value: &Value, width: usize, colour: bool) -> Printed {
    Printed::of(value, |out| {
        let mut table = Table::default();
        table.add(Some(title), value, 0)?;
        table.fit(width)?;
        table.render(&mut Canvas { out, colour });
        Ok(())
    })
}

#[derive(Debug, Default)]
struct Table {
    /// Rows go to the last one; empty only before the first title.
    sections: Vec<Section>,
}

impl Table {
    /// Adds the sections of `value`, or its rows to the last section if it has no title.
    fn add(
        &mut self,
        title: Option<&str>,
        value: &Value,
        indent: usize,
    ) -> Result<(), Unprintable> {
        if python::is_false(value) {
            return Ok(());
        }
        if title.is_some() {
            self.open(title, indent);
        }
        match value {
            Value::Array(items) if items.first().is_some_and(Value::is_object) => {
                self.add_structures(items, title, indent)
            }
            Value::Array(items) => self.add_items(items),
            Value::Object(members) => self.add_structure(members, indent),
            _ => Ok(()),
        }
    }

    fn open(&mut self, title: Option<&str>, indent: usize) {
        self.sections.push(Section {
            title: title.map(str::to_owned),
            indent,
            ..Section::default()
        });
    }

    fn last(&mut self) -> &mut Section {
        self.sections
            .last_mut()
            .expect("internal error: rows follow the title of the whole table")
    }

    /// One row for each item; only structures nested in lists get sections.
    fn add_items(&mut self, items: &[Value]) -> Result<(), Unprintable> {
        for item in items {
            match item {
                Value::Array(cells) if cells.iter().all(python::is_scalar) => {
                    let cells = cells.iter().map(python::text).collect();
                    self.last().add_row(cells)?;
                }
                Value::Array(_) => self.add(None, item, 0)?,
                // Python iterates over the names.
                Value::Object(members) => {
                    let names = members.keys().cloned().collect();
                    self.last().add_row(names)?;
                }
                scalar => self.last().add_row(vec![python::text(scalar)])?,
            }
        }
        Ok(())
    }

    fn add_structure(
        &mut self,
        members: &Map<String, Value>,
        indent: usize,
    ) -> Result<(), Unprintable> {
        let (scalars, nested): (BTreeSet<&String>, BTreeSet<&String>) = members
            .keys()
            .partition(|name| members.get(*name).is_some_and(python::is_scalar));
        let headers: Vec<String> = scalars.into_iter().cloned().collect();
        let cells: Vec<String> = headers.iter().map(|name| cell(members, name)).collect();
        match headers.len() {
            0 => {}
            // A single member needs no header line.
            1 => {
                let row = headers.into_iter().chain(cells).collect();
                self.last().add_row(row)?;
            }
            _ => {
                self.last().set_headers(headers)?;
                self.last().add_row(cells)?;
            }
        }
        for name in nested {
            if let Some(value) = members.get(name) {
                self.add(Some(name), value, indent + 1)?;
            }
        }
        Ok(())
    }

    /// One row for each structure, all in one section unless something is nested in any of them.
    fn add_structures(
        &mut self,
        items: &[Value],
        title: Option<&str>,
        indent: usize,
    ) -> Result<(), Unprintable> {
        // A name can be in both: a scalar in one structure and nested in another.
        let mut headers = BTreeSet::new();
        let mut nested = BTreeSet::new();
        for item in items {
            for (name, value) in named_members(item)?.into_iter().flatten() {
                if python::is_scalar(value) {
                    headers.insert(name);
                } else {
                    nested.insert(name);
                }
            }
        }
        let headers: Vec<String> = headers.into_iter().cloned().collect();
        let none = Map::new();
        self.last().set_headers(headers.clone())?;
        for (index, item) in items.iter().enumerate() {
            if index > 0 && !nested.is_empty() {
                self.open(title, indent);
                self.last().set_headers(headers.clone())?;
            }
            let members = match item.as_object() {
                Some(members) => members,
                // Python asks for cells only where there are headers.
                None if headers.is_empty() => &none,
                None => {
                    return Err(Unprintable::NoAttribute {
                        kind: python::kind(item),
                        attribute: "get",
                    });
                }
            };
            let cells = headers.iter().map(|name| cell(members, name)).collect();
            self.last().add_row(cells)?;
            for name in &nested {
                if let Some(value) = members.get(*name) {
                    self.add(Some(name), value, indent + 1)?;
                }
            }
        }
        Ok(())
    }

    fn width(&self) -> usize {
        let widths = self.sections.iter().map(Section::width);
        widths.max().unwrap_or(0)
    }

    /// Turns what can be turned if the table is wider than `width`; it may still be wider then.
    fn fit(&mut self, width: usize) -> Result<(), Unprintable> {
        if self.width() > width {
            for section in &mut self.sections {
                section.turn()?;
            }
        }
        Ok(())
    }

    fn render(&self, canvas: &mut Canvas) {
        if self.sections.is_empty() {
            return;
        }
        let width = self.width();
        canvas.write(&format!("{}\n", "-".repeat(width)));
        for section in &self.sections {
            section.render(width.saturating_sub(2 * section.indent), canvas);
        }
    }
}

/// The members of one of a list's structures; an empty string or list has none, and any other value
/// is refused as Python refuses to index it.
fn named_members(item: &Value) -> Result<Option<&Map<String, Value>>, Unprintable> {
    match item {
        Value::Object(members) => Ok(Some(members)),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(_) => Err(Unprintable::StringIndex),
        Value::Array(items) => match items.first() {
            None => Ok(None),
            Some(Value::Bool(_)) => Err(Unprintable::OutOfRange),
            Some(Value::Number(number)) if !number.is_f64() => Err(Unprintable::OutOfRange),
            Some(first) => Err(Unprintable::ListIndex(python::kind(first))),
        },
        scalar => Err(Unprintable::NotIterable(python::kind(scalar))),
    }
}

fn cell(members: &Map<String, Value>, name: &str) -> String {
    members.get(name).map(python::text).unwrap_or_default()
}

#[derive(Debug, Default)]
struct Section {
    title: Option<String>,
    /// Edges around it.
    indent: usize,
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Cells of each row; set by the headers or the first row.
    cells: Option<usize>,
    /// Of the widest header or cell in each column, without padding.
    widths: Vec<usize>,
}

impl Section {
    fn set_headers(&mut self, headers: Vec<String>) -> Result<(), Unprintable> {
        self.measure(&headers)?;
        self.cells.get_or_insert(headers.len());
        self.headers = headers;
        Ok(())
    }

    fn add_row(&mut self, row: Vec<String>) -> Result<(), Unprintable> {
        let expected = *self.cells.get_or_insert(row.len());
        if row.len() != expected {
            return Err(Unprintable::Row {
                expected,
                found: row.len(),
            });
        }
        self.measure(&row)?;
        self.rows.push(row);
        Ok(())
    }

    fn measure(&mut self, cells: &[String]) -> Result<(), Unprintable> {
        if self.widths.is_empty() {
            self.widths = vec![0; cells.len()];
        }
        for (index, cell) in cells.iter().enumerate() {
            let width = self.widths.get_mut(index).ok_or(Unprintable::OutOfRange)?;
            *width = columns(cell).max(*width);
        }
        Ok(())
    }

    /// The columns that the section needs, edges included.
    fn width(&self) -> usize {
        let title = self.title.as_deref().map_or(UNTITLED, columns);
        let cells: usize = self.widths.iter().map(|width| width + PADDING).sum();
        title.max(cells) + BORDER + 2 * self.indent
    }

    /// Makes a row of each header of a single row.
    fn turn(&mut self) -> Result<(), Unprintable> {
        let [row] = self.rows.as_slice() else {
            return Ok(());
        };
        if self.headers.is_empty() {
            return Ok(());
        }
        let mut turned = Self {
            title: self.title.take(),
            indent: self.indent,
            ..Self::default()
        };
        for (header, cell) in self.headers.iter().zip(row) {
            turned.add_row(vec![header.clone(), cell.clone()])?;
        }
        *self = turned;
        Ok(())
    }

    /// The widths of the columns, padding and right edge included, stretched to `total`.
    fn stretched(&self, total: usize) -> Vec<usize> {
        let needed: Vec<usize> = self.widths.iter().map(|width| width + PADDING).collect();
        let sum: usize = needed.iter().sum();
        let factor = total as f64 / sum as f64;
        let mut widths: Vec<usize> = needed
            .iter()
            .map(|width| (factor * *width as f64).round_ties_even() as usize)
            .collect();
        // Rounding adds up to less than one column each: what is too much is taken from the first
        // ones, what is missing is given to the last ones.
        let used: usize = widths.iter().sum();
        for width in widths.iter_mut().take(used.saturating_sub(total)) {
            *width = width.saturating_sub(1);
        }
        for width in widths.iter_mut().rev().take(total.saturating_sub(used)) {
            *width += 1;
        }
        widths
    }

    /// `width`: columns between the edges that the indent draws.
    fn render(&self, width: usize, canvas: &mut Canvas) {
        if let Some(title) = self.title.as_deref().filter(|title| !title.is_empty()) {
            canvas.line(self.indent, &centred(title, width, "|"));
            if self.headers.is_empty() && self.rows.is_empty() {
                canvas.line(self.indent, &rule(&[width]));
            }
        }
        let widths = self.stretched(width);
        if !self.headers.is_empty() {
            let line: String = edges()
                .zip(widths.iter().zip(&self.headers))
                .map(|(edge, (width, header))| centred(header, *width, edge))
                .collect();
            canvas.line(self.indent, &rule(&widths));
            canvas.line(self.indent, &line);
        }
        if self.rows.is_empty() || widths.is_empty() {
            return;
        }
        canvas.line(self.indent, &rule(&widths));
        for row in &self.rows {
            let line: String = edges()
                .zip(widths.iter().zip(row))
                .map(|(edge, (width, cell))| canvas.cell(cell, *width, edge))
                .collect();
            canvas.line(self.indent, &line);
        }
        canvas.line(self.indent, &rule(&widths));
    }
}

/// The left edges of a line's cells: the first has one, the others share their neighbour's.
fn edges() -> impl Iterator<Item = &'static str> {
    std::iter::once("|").chain(std::iter::repeat(""))
}

/// `+-----+---+`
fn rule(widths: &[usize]) -> String {
    edges()
        .zip(widths)
        .map(|(edge, width)| {
            let dashes = "-".repeat(width.saturating_sub(1 + edge.len()));
            let left = if edge.is_empty() { "" } else { "+" };
            format!("{left}{dashes}+")
        })
        .collect()
}

/// `text` in the middle of `width` columns, both edges included; half of each length is rounded
/// down on its own.
fn centred(text: &str, width: usize, edge: &str) -> String {
    let before = (width / 2).saturating_sub(columns(text) / 2 + 1);
    let used = edge.len() + before + columns(text) + 1;
    let after = width.saturating_sub(used);
    format!("{edge}{}{text}{}|", " ".repeat(before), " ".repeat(after))
}

struct Canvas<'a> {
    out: &'a mut String,
    colour: bool,
}

impl Canvas<'_> {
    /// A coloured stream is reset behind every single write, even of nothing.
    fn write(&mut self, text: &str) {
        self.out.push_str(text);
        if self.colour {
            self.out.push_str(RESET);
        }
    }

    /// A line with the edges of the sections around it.
    fn line(&mut self, indent: usize, text: &str) {
        let edge = if self.colour {
            format!("{EDGE}|{RESET}")
        } else {
            "|".to_owned()
        };
        let edges = edge.repeat(indent);
        for part in [edges.as_str(), text, edges.as_str(), "\n"] {
            self.write(part);
        }
    }

    /// `text` behind two blanks, or behind none where rounding has left no room for them.
    fn cell(&self, text: &str, width: usize, edge: &str) -> String {
        let bare = edge.len() + columns(text) + 1;
        let before = if width >= bare + 2 { 2 } else { 0 };
        let after = width.saturating_sub(bare + before);
        let (on, off) = if self.colour { (CELL, RESET) } else { ("", "") };
        format!(
            "{edge}{}{on}{text}{off}{}|",
            " ".repeat(before),
            " ".repeat(after)
        )
    }
}
