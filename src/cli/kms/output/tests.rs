//! The formatters against what those of the AWS CLI 1.31.13 print: the files in
//! `tests/vectors/cli`, which `generate.py` there writes.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::pages::{self, Pages, Then};
use super::*;

const FORMATS: [&str; 3] = ["json", "text", "table"];

/// What a run prints on standard output, and the message on standard error.
type Run = (String, Option<String>);

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/cli")
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn print(format: &str, title: &str, value: &Value, width: usize, colour: bool) -> Run {
    let printed = match Output::parse(format).expect("a format") {
        Output::Json => json(value),
        Output::Text => text(value),
        Output::Table => table(title, value, width, colour),
    };
    (printed.text, printed.failure.map(|e| e.to_string()))
}

/// Answers as a service that has these pages: the first one, or the one behind a marker.
fn answer(pages: &[Value], request: &Map<String, Value>) -> Value {
    let index = request.get("Marker").map_or(0, |marker| {
        let named = |page: &Value| page.get("NextMarker") == Some(marker);
        pages.iter().position(named).expect("a known marker") + 1
    });
    pages.get(index).cloned().expect("a page")
}

/// Makes the requests of `document` and gives each page and token to `show`.
fn walk(document: &Value, mut show: impl FnMut(Value)) -> Result<Option<String>, String> {
    let responses = document["pages"].as_array().expect("pages");
    let mut pages = Pages::new(
        document["result"].as_str().expect("result"),
        document["max_items"].as_i64(),
        document["starting_token"].as_str(),
    )
    .map_err(|e| e.to_string())?;
    let mut request = Map::new();
    loop {
        pages.inject(&mut request);
        let turn = pages
            .take(answer(responses, &request))
            .map_err(|e| e.to_string())?;
        show(turn.page);
        match turn.then {
            Then::Request => {}
            Then::End => return Ok(None),
            Then::Resume(token) => return Ok(Some(token)),
            Then::Fail(error) => return Err(error.to_string()),
        }
    }
}

fn run(format: &str, document: &Value, colour: bool) -> Run {
    let title = document["title"].as_str().expect("title");
    let width = document["width"].as_u64().unwrap_or(80) as usize;
    if let Some(response) = document.get("response") {
        return print(format, title, response, width, colour);
    }
    if format == "text" {
        let mut out = String::new();
        let walked = walk(document, |page| out += &text(&page).text);
        return match walked {
            Ok(token) => {
                let page = token.map(|token| text(&pages::token_page(token)).text);
                (out + &page.unwrap_or_default(), None)
            }
            Err(message) => (out, Some(message)),
        };
    }
    let mut all = Vec::new();
    let walked = walk(document, |page| all.push(page));
    match walked {
        Ok(token) => {
            let result = document["result"].as_str().expect("result");
            let whole = pages::merge(result, all, token);
            print(format, title, &whole, width, colour)
        }
        Err(message) => (String::new(), Some(message)),
    }
}

#[test]
fn every_document_prints_as_the_aws_cli_prints_it() {
    let mut count = 0;
    for entry in std::fs::read_dir(vectors().join("documents")).expect("list") {
        let path = entry.expect("list").path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let document = parse(&read(&path).expect("read"));
        let colour = document["colour"].as_bool().unwrap_or(false);
        for format in FORMATS.into_iter().chain(colour.then_some("colour")) {
            let expected =
                |suffix: &str| read(&vectors().join(format!("expected/{name}.{format}{suffix}")));
            let found = if format == "colour" {
                run("table", &document, true)
            } else {
                run(format, &document, false)
            };
            assert_eq!(
                found,
                (expected("").expect("read"), expected(".error")),
                "{name} as {format}"
            );
        }
        count += 1;
    }
    assert!(count >= 40, "{count} documents");
}

#[test]
fn random_values_print_as_the_aws_cli_prints_them() {
    let cases = read(&vectors().join("random.jsonl")).expect("read");
    assert!(cases.lines().count() >= 200);
    for line in cases.lines() {
        let case = parse(line);
        let width = case["width"].as_u64().expect("a width") as usize;
        for format in FORMATS {
            let expected: Run = (
                case[format][0].as_str().expect("a text").to_owned(),
                case[format][1].as_str().map(str::to_owned),
            );
            let found = print(format, "Random", &case["value"], width, false);
            assert_eq!(found, expected, "{} as {format}", case["value"]);
        }
    }
}

#[test]
fn formats_have_the_names_of_the_option() {
    assert_eq!(
        FORMATS.map(Output::parse),
        [Some(Output::Json), Some(Output::Text), Some(Output::Table)]
    );
    for other in ["", "JSON", "yaml", "text "] {
        assert_eq!(Output::parse(other), None);
    }
}

#[test]
fn a_value_nested_too_deeply_is_refused_in_every_format() {
    let nested = |depth: usize| {
        (1..depth).fold(Value::from("x"), |inner, level| {
            if level % 2 == 1 {
                Value::Object(Map::from_iter([("a".to_owned(), inner)]))
            } else {
                Value::Array(vec![inner])
            }
        })
    };
    for format in FORMATS {
        let deep = print(format, "Deep", &nested(DEPTH), 80, false);
        assert_eq!(deep.1, None, "{format}");
        let deeper = print(format, "Deep", &nested(DEPTH + 1), 80, false);
        let message = "maximum recursion depth exceeded".to_owned();
        assert_eq!(deeper, (String::new(), Some(message)), "{format}");
    }
}

#[test]
fn a_coloured_table_differs_in_escapes_alone() {
    let value = serde_json::json!({"Tags": [{"TagKey": "a", "TagValue": "b"}], "Truncated": false});
    let coloured = table("ListResourceTags", &value, 80, true).text;
    let mut plain = String::new();
    let mut parts = coloured.split('\x1b');
    plain.push_str(parts.next().expect("a start"));
    for part in parts {
        plain.push_str(part.split_once('m').expect("an escape").1);
    }
    assert_eq!(plain, table("ListResourceTags", &value, 80, false).text);
    assert!(coloured.ends_with("\n\x1b[0m"));
}
