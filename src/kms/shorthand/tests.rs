use super::*;
use serde_json::json;

// Every row of these tables is what AWS CLI 1.31.13 answers.

#[test]
fn maps_lists_and_structures_are_read() {
    for (text, expected) in [
        ("a=1", json!({"a": "1"})),
        ("a=1,b=2", json!({"a": "1", "b": "2"})),
        ("a=", json!({"a": ""})),
        ("=1", json!({"": "1"})),
        ("a=b=c", json!({"a": "b=c"})),
        ("a=b,c=d=e", json!({"a": "b", "c": "d=e"})),
        ("a=x,y,b=z", json!({"a": ["x", "y"], "b": "z"})),
        ("a=b,c", json!({"a": ["b", "c"]})),
        ("a=b,}", json!({"a": ["b", "}"]})),
        ("a=b,=c", json!({"a": "b", "": "c"})),
        ("a=b,,c=d", json!({"a": "b", "c": "d"})),
        (
            "a=[x,y],b={c=d,e=f}",
            json!({"a": ["x", "y"], "b": {"c": "d", "e": "f"}}),
        ),
        ("a={}", json!({"a": {}})),
        ("a=[]", json!({"a": []})),
        ("a=[a,]", json!({"a": ["a"]})),
        ("a=[,a]", json!({"a": ["", "a"]})),
        ("a=[[b],[c]]", json!({"a": [["b"], ["c"]]})),
        ("a=[{b=c},{d=e}]", json!({"a": [{"b": "c"}, {"d": "e"}]})),
        ("a=[b=c]", json!({"a": ["b=c"]})),
        ("a={b=c,}", json!({"a": {"b": "c"}})),
        ("a={b=c,b=d}", json!({"a": {"b": "d"}})),
        ("a={=c}", json!({"a": {"": "c"}})),
        (
            "a={b={c=[d,{e=f}]}}",
            json!({"a": {"b": {"c": ["d", {"e": "f"}]}}}),
        ),
        ("a:b=c", json!({"a:b": "c"})),
        ("a.b-c_d#e/f=1", json!({"a.b-c_d#e/f": "1"})),
        ("a=значение", json!({"a": "значение"})),
        ("a=b{c", json!({"a": "b{c"})),
        ("a=}b", json!({"a": "}b"})),
        ("a=]", json!({"a": "]"})),
    ] {
        assert_eq!(parse(text), Ok(expected), "{text}");
    }
}

#[test]
fn quotes_and_backslashes_are_taken_as_the_aws_cli_takes_them() {
    for (text, expected) in [
        ("a='x,y'", json!({"a": "x,y"})),
        (r#"a="say \"x\"""#, json!({"a": "say \"x\""})),
        (r"a='it\'s'", json!({"a": "it's"})),
        (r"a='b\'", json!({"a": r"b\"})),
        (r"a='b\\'", json!({"a": r"b\"})),
        (r"a='b\\\'", json!({"a": r"b\\"})),
        (r"a='b\\','c'", json!({"a": [r"b\", "c"]})),
        (r#"a="\\""#, json!({"a": "\\"})),
        (r#"a="\x""#, json!({"a": r"\x"})),
        (r"a=x\,y", json!({"a": "x,y"})),
        (r"a=\x", json!({"a": r"\x"})),
        (r"a=\\", json!({"a": r"\\"})),
        (r"a=b\", json!({"a": r"b\"})),
        (r#"a=b,"c,d",e=f"#, json!({"a": ["b", "c,d"], "e": "f"})),
        (r#"a="b",c"#, json!({"a": ["b", "c"]})),
        (r#"a=[ 'b' , "c" ]"#, json!({"a": ["b", "c"]})),
    ] {
        assert_eq!(parse(text), Ok(expected), "{text}");
    }
}

#[test]
fn blanks_around_marks_do_not_count() {
    for (text, expected) in [
        ("a = b , c = d", json!({"a": "b", "c": "d"})),
        ("a=b ", json!({"a": "b"})),
        ("a='b' ,c=d", json!({"a": "b", "c": "d"})),
        ("a=[a b, c]", json!({"a": ["a b", "c"]})),
        ("a=b,c d,e=f", json!({"a": ["b", "c d"], "e": "f"})),
        ("a=b , c , d=e", json!({"a": ["b", "c"], "d": "e"})),
        ("a=b\tc", json!({"a": "b\tc"})),
        ("a=b\nc=d", json!({"a": "b\nc=d"})),
        ("a\n=b,c", json!({"a": ["b", "c"]})),
        ("a=b\u{a0}", json!({"a": "b"})),
        ("a=b\u{2003},c=d", json!({"a": "b", "c": "d"})),
    ] {
        assert_eq!(parse(text), Ok(expected), "{text:?}");
    }
}

#[test]
fn what_is_no_shorthand_is_refused_with_its_place() {
    for (text, expected, received, place) in [
        ("", "=", "EOF", "\n^"),
        ("a", "=", "EOF", "a\n ^"),
        (" a=b", "=", "a", " a=b\n ^"),
        ("a b=c", "=", "b", "a b=c\n  ^"),
        ("ключ=1", "=", "к", "ключ=1\n^"),
        ("a='x", "<singled quoted>", "<none>", "a='x\n  ^"),
        ("a=\"", "<double quoted>", "<none>", "a=\"\n  ^"),
        ("a={b=1", ",", "EOF", "a={b=1\n      ^"),
        ("a={b", "=", "EOF", "a={b\n    ^"),
        ("a=[x", ",", "EOF", "a=[x\n    ^"),
        ("a=[a,", ",", "EOF", "a=[a,\n     ^"),
        ("a=[b]c", ",", "c", "a=[b]c\n     ^"),
        ("a={b=c}d", ",", "d", "a={b=c}d\n       ^"),
        ("a=1}", ",", "}", "a=1}\n   ^"),
        ("a=1]", ",", "]", "a=1]\n   ^"),
        ("a==", ",", "=", "a==\n  ^"),
        ("a=😀", ",", "😀", "a=😀\n  ^"),
        ("a=b\x01c", ",", "\x01", "a=b\x01c\n   ^"),
        ("a=\"b\"c", ",", "c", "a=\"b\"c\n     ^"),
        ("a=b,", "<second>", "<none>", "a=b,\n    ^"),
        ("a=b,c,", "<second>", "<none>", "a=b,c,\n      ^"),
        ("a=b,[c]", "=", "[", "a=b,[c]\n    ^"),
        ("a=b,'c'd=e", "=", "'", "a=b,'c'd=e\n    ^"),
        (
            "a=b,c='d",
            "<singled quoted>",
            "<none>",
            "a=b,c='d\n      ^",
        ),
        ("a=b,\"c,d\"=f", "=", "\"", "a=b,\"c,d\"=f\n        ^"),
        ("a=b,\nc==d", ",", "=", "a=b,\nc==d\n  ^"),
        ("a=b,c\nd=e\nf", "=", "d", "a=b,c\nd=e\n^\nf"),
    ] {
        let fault = parse(text).expect_err("refused");
        assert_eq!(
            fault.to_string(),
            format!("Expected: '{expected}', received: '{received}' for input:\n{place}"),
            "{text:?}"
        );
    }
}

#[test]
fn a_key_that_is_given_twice_is_refused() {
    assert_eq!(
        parse("a=1,a=2").expect_err("refused").to_string(),
        "Second instance of key \"a\" encountered for input:\na=1,a=2\n    ^\n\
         This is often because there is a preceding \",\" instead of a space."
    );
}

#[test]
fn neither_nesting_nor_backslashes_use_up_stack_or_time() {
    for text in ["a={a=", "a=[", "["] {
        assert!(parse(&text.repeat(100_000)).is_err());
    }
    assert_eq!(
        parse(&format!("a={}", "[".repeat(200))),
        Err(NotShorthand::TooDeep)
    );
    assert!(parse(&format!("a='{}", "\\".repeat(100_000))).is_err());
}
