//! What expressions find; every row is what jmespath.py gives.

mod faults;

use serde_json::Value;

use super::{JmespathError, compile};

/// `given DOCUMENT`, then what expressions find in it: `EXPRESSION => RESULT`.
const FOUND: &str = r###"
given {"foo": {"bar": {"baz": 1}}, "b c": {"\"": 2}, "é": 3, "": 4, "a_1": 5, "_x": 6}
foo => {"bar": {"baz": 1}}
foo.bar => {"baz": 1}
foo.bar.baz => 1
foo.bar.baz.more => null
foo.none => null
none.bar => null
"foo"."bar" => {"baz": 1}
"b c"."\"" => 2
"\u00e9" => 3
"" => 4
"\u0066oo".bar => {"baz": 1}
@ => {"foo": {"bar": {"baz": 1}}, "b c": {"\"": 2}, "é": 3, "": 4, "a_1": 5, "_x": 6}
@.foo.bar => {"baz": 1}
@ | foo | @.bar => {"baz": 1}
(foo).bar => {"baz": 1}
a_1 => 5
_x => 6
foo | none | bar => null
foo.* => [{"baz": 1}]
foo.*.baz => [1]
*.bar => [{"baz": 1}]
*.*.baz => [[1], []]
foo.bar.[baz, none] => [1, null]
foo.{b: bar.baz, a: `1`} => {"b": 1, "a": 1}
{b: a_1, a: _x} => {"b": 5, "a": 6}
{a: a_1, b: _x, a: foo.bar.baz} => {"a": 1, "b": 6}
{"q r": a_1} => {"q r": 5}
[a_1, _x] => [5, 6]
none.[a] => null
none.{a: b} => null
none[*] => null
none.* => null
none[] => null
none[?a] => null
none[0] => null
none[1:] => null
keys(@) => ["foo", "b c", "é", "", "a_1", "_x"]
values(@)[1:4] => [{"\"": 2}, 3, 4]
foo.{a: @}.a.bar => {"baz": 1}
given [0, 1, 2, [3, 4, [5]], null, {"a": null, "b": []}]
[0] => 0
[-1] => {"a": null, "b": []}
[3][1] => 4
[3][-3] => 3
[6] => null
[-7] => null
[99999999999999999999] => null
[-99999999999999999999] => null
[007] => null
[-0] => 0
[1:3] => [1, 2]
[:2] => [0, 1]
[-2:] => [{"a": null, "b": []}]
[::2] => [0, 2]
[::-1] => [{"a": null, "b": []}, [3, 4, [5]], 2, 1, 0]
[3::-2] => [[3, 4, [5]], 1]
[10:0:-4] => [{"a": null, "b": []}, 1]
[-100:100:3] => [0, [3, 4, [5]]]
[1:99999999999999999999] => [1, 2, [3, 4, [5]], {"a": null, "b": []}]
[2:1] => []
[0:1:] => [0]
[:] => [0, 1, 2, [3, 4, [5]], {"a": null, "b": []}]
[::] => [0, 1, 2, [3, 4, [5]], {"a": null, "b": []}]
[] => [0, 1, 2, 3, 4, [5], {"a": null, "b": []}]
[][] => [0, 1, 2, 3, 4, 5, {"a": null, "b": []}]
[*] => [0, 1, 2, [3, 4, [5]], {"a": null, "b": []}]
[3][] => [3, 4, 5]
[*][0] => [3]
[*].b => [[]]
[5].* => [[]]
[5].*[] => []
* => null
[?@ == `1`] => [1]
[?@ > `0`] => [1, 2]
[?!@] => []
[?type(@) == 'array'][] => [3, 4, [5]]
[?type(@) == 'array'] | [] => [3, 4, [5]]
[*] | [0] => 0
[4] => null
[5].a => null
length(@) => 6
[3] | length(@) => 3
[*].[@] => [[0], [1], [2], [[3, 4, [5]]], [{"a": null, "b": []}]]
[*][*] => [[3, 4, [5]]]
reverse(@)[0] => {"a": null, "b": []}
[0] || `9` => 0
[4] || `9` => 9
[5].b || 'none' => "none"
[0] && [1] => 1
[4] && [1] => null
![0] => false
![4] => true
!!'' => false
[0] == [0] && [1] == `1.0` => true
[0:1 2] => [0, 1]
given {"Keys": [{"KeyId": "b", "KeyArn": "arn:b", "Size": 2, "Tags": [{"k": "x", "v": 1}]}, {"KeyId": "a", "KeyArn": "arn:a", "Size": 10, "Tags": []}, {"KeyId": "c", "KeyArn": "arn:c", "Size": 1.5, "Tags": [{"k": "y", "v": 2}, {"k": "x", "v": 3}]}], "Truncated": false, "KeyCount": 3, "NextMarker": null}
Keys[*].KeyId => ["b", "a", "c"]
Keys[].KeyId => ["b", "a", "c"]
Keys[].Tags[].k => ["x", "y", "x"]
Keys[*].Tags[].k => ["x", "y", "x"]
Keys[*].Tags[*].k => [["x"], [], ["y", "x"]]
Keys[*].Tags[*].k | [] => ["x", "y", "x"]
Keys[*].Tags[0].v => [1, 2]
Keys[:2].KeyId => ["b", "a"]
Keys[::-1].KeyId => ["c", "a", "b"]
Keys[0].Tags[0].k => "x"
Keys[?KeyId=='a'].KeyArn => ["arn:a"]
Keys[?KeyId==`a`].KeyArn | [0] => "arn:a"
Keys[?Size > `1.5` && Size < `10`].KeyId => ["b"]
Keys[?Size >= `1.5` || KeyId == 'c'].Size => [2, 10, 1.5]
Keys[?contains(KeyArn, 'arn:') && !Tags].KeyId => ["a"]
Keys[?Tags].Tags[?v > `1`].k => []
Keys[?Tags[?k == 'y']].KeyId => ["c"]
Keys[?KeyId][0] => []
Keys[?KeyId].Tags[] => [{"k": "x", "v": 1}, {"k": "y", "v": 2}, {"k": "x", "v": 3}]
Keys[*].[KeyId, Size] => [["b", 2], ["a", 10], ["c", 1.5]]
Keys[*].{Size: Size, Id: KeyId} => [{"Size": 2, "Id": "b"}, {"Size": 10, "Id": "a"}, {"Size": 1.5, "Id": "c"}]
Keys[0].{b: KeyId, a: Size} => {"b": "b", "a": 2}
Keys[*].{a: KeyId, t: Tags[*].v} => [{"a": "b", "t": [1]}, {"a": "a", "t": []}, {"a": "c", "t": [2, 3]}]
sort_by(Keys, &KeyId)[].KeyId => ["a", "b", "c"]
sort_by(Keys, &Size)[*].KeyId => ["c", "b", "a"]
max_by(Keys, &Size).KeyId => "a"
min_by(Keys, &Size).KeyId => "c"
max_by(Keys, &KeyId).KeyId => "c"
sort_by(none || `[]`, &a) => []
max_by(`[]`, &a) => null
map(&KeyId, Keys) => ["b", "a", "c"]
map(&Tags[0].k, Keys) => ["x", null, "y"]
sort(Keys[*].KeyId) => ["a", "b", "c"]
sort(Keys[*].Size) => [1.5, 2, 10]
max(Keys[*].Size) => 10
min(Keys[*].KeyId) => "a"
sum(Keys[*].Size) => 13.5
avg(Keys[*].Size) => 4.5
avg(Keys[:2].Size) => 6.0
sum(Keys[:2].Size) => 12
join(', ', Keys[*].KeyId) => "b, a, c"
length(Keys) => 3
length(Keys[0]) => 4
length(Keys[0].KeyArn) => 5
keys(Keys[0]) => ["KeyId", "KeyArn", "Size", "Tags"]
values(Keys[0]) => ["b", "arn:b", 2, [{"k": "x", "v": 1}]]
not_null(NextMarker, Truncated, KeyCount) => false
not_null(NextMarker) => null
NextMarker == `null` => true
Truncated == `false` => true
Truncated == NextMarker => false
!Truncated => true
Keys[0] == Keys[0] => true
Keys[*].Tags == Keys[*].Tags => true
Keys == `[]` => false
to_string(Keys[0]) => "{\"KeyId\":\"b\",\"KeyArn\":\"arn:b\",\"Size\":2,\"Tags\":[{\"k\":\"x\",\"v\":1}]}"
to_array(KeyCount) => [3]
to_array(Keys[*].KeyId) => ["b", "a", "c"]
type(Keys) => "array"
type(Keys[0]) => "object"
type(Truncated) => "boolean"
type(KeyCount) => "number"
type(NextMarker) => "null"
type(Keys[0].KeyId) => "string"
merge(Keys[0], {KeyId: `"z"`, New: `1`}) => {"KeyId": "z", "KeyArn": "arn:b", "Size": 2, "Tags": [{"k": "x", "v": 1}], "New": 1}
merge({b: `1`}, {a: `2`}, {b: `3`}) => {"b": 3, "a": 2}
{n: KeyCount m: Truncated} => {"n": 3, "m": false}
not_null(NextMarker KeyCount) => 3
not_null(KeyCount,) => 3
Keys[*].KeyId | sort(@) | reverse(@) | [0] => "c"
Keys[*].not_null(none, KeyId) => ["b", "a", "c"]
Keys[*].Tags.length(@) => [1, 0, 2]
Keys.KeyId => null
KeyCount.a => null
Keys[1:][0] => []
Keys[1:].Tags[0].k => ["y"]
Keys[*].unknown => []
[Keys[0].KeyId, KeyCount] => ["b", 3]
Keys[0].* => ["b", "arn:b", 2, [{"k": "x", "v": 1}]]
*[0].KeyId => ["b"]
Keys[*].*[0] => [[{"k": "x", "v": 1}], [], [{"k": "y", "v": 2}]]
(Keys[*].KeyId)[0] => "b"
(Keys)[0].KeyId => "b"
Keys | [0].KeyId => "b"
Keys[*].KeyId[0] => []
Keys[? KeyId == 'a' ] | [*].Size => [10]
Keys[].{i:KeyId}[] => [{"i": "b"}, {"i": "a"}, {"i": "c"}]
sort_by(Keys, &length(Tags))[*].KeyId => ["a", "b", "c"]
sort_by(Keys, &to_string(Size))[*].Size => [1.5, 10, 2]
Keys[-1].Size => 1.5
"KeyCount" => 3
Keys[0]."KeyId" => "b"
given null
abs(`-1`) => 1
abs(`-1.5`) => 1.5
ceil(`1.2`) => 2
ceil(`-0.5`) => 0
floor(`-1.5`) => -2
floor(`3`) => 3
`1.0` => 1.0
`1e2` => 100.0
`-2` => -2
`"a"` => "a"
`a b` => "a b"
`  lead` => "lead"
`\`` => "`"
`"\`"` => "`"
`{"b": [1, null], "a": true}` => {"b": [1, null], "a": true}
`[]` => []
`` => ""
'' => ""
'a\'b' => "a'b"
'a\\b\n' => "a\\\\b\\n"
'`"' => "`\""
`"\u00e9\n"` => "é\n"
to_string(`1`) => "1"
to_string(`1.0`) => "1.0"
to_string(`1e16`) => "1e+16"
to_string(`1e15`) => "1000000000000000.0"
to_string(`123456789012345678`) => "123456789012345678"
to_string(`0.0001`) => "0.0001"
to_string(`0.00001`) => "1e-05"
to_string(`1.5e-7`) => "1.5e-07"
to_string(`1e22`) => "1e+22"
to_string(`-0.0`) => "-0.0"
to_string(`1700000000.123`) => "1700000000.123"
to_string(`true`) => "true"
to_string(@) => "null"
to_string(`[1, "a", null, {"k": 2.5}]`) => "[1,\"a\",null,{\"k\":2.5}]"
to_string(`"é"`) => "é"
to_string(`["é\n\u0007\u007f😀\"\\/"]`) => "[\"\\u00e9\\n\\u0007\\u007f\\ud83d\\ude00\\\"\\\\/\"]"
to_number('12') => 12
to_number('1.5') => 1.5
to_number('1e3') => 1000.0
to_number(' +1_000 ') => 1000
to_number('1__0') => null
to_number('_1') => null
to_number('.5') => 0.5
to_number('5.') => 5.0
to_number('0x10') => null
to_number('') => null
to_number('-0') => 0
to_number('-0.0') => -0.0
to_number(`7`) => 7
to_number(`true`) => null
to_number(`null`) => null
to_number(`[1]`) => null
contains('abc', 'b') => true
contains('abc', '') => true
contains(`[1, 2]`, `2.0`) => true
contains(`[1]`, `true`) => true
contains(`[{"a": [1]}]`, `{"a": [true]}`) => true
contains(`["a"]`, `null`) => false
starts_with('abc', 'ab') => true
ends_with('abc', 'bc') => true
ends_with('abc', 'ab') => false
length('é😀') => 2
reverse('ab😀') => "😀ba"
reverse(`[1, 2, 3]`) => [3, 2, 1]
join('-', `[]`) => ""
sum(`[]`) => 0
avg(`[]`) => null
max(`[]`) => null
sum(`[1, 2.5]`) => 3.5
sum(`[0.1, 0.2, 0.3]`) => 0.6000000000000001
avg(`[1, 2]`) => 1.5
avg(`[2, 2]`) => 2.0
max(`[1, 1.0]`) => 1
min(`[1.0, 1]`) => 1.0
max(`["a", "é", "b"]`) => "é"
sort(`[2, 1.0, 1, -3]`) => [-3, 1.0, 1, 2]
sort(`["b", "B", "é", "a"]`) => ["B", "a", "b", "é"]
sort(`[9007199254740993, 9007199254740992.0]`) => [9007199254740992.0, 9007199254740993]
`9007199254740993` == `9007199254740992.0` => false
`9007199254740993` > `9007199254740992.0` => true
`1` == `1.0` => true
`1` == `true` => false
`0` == `false` => false
`[1]` == `[true]` => true
`0` != `false` => true
`{"a": 1, "b": 2}` == `{"b": 2, "a": 1}` => true
'a' < 'b' => true
'b' <= 'a' => false
`1` < `null` => null
`true` > `false` => null
`[1]` < `[2]` => null
`1` < `2` == `true` => true
!`0` => false
!`0.0` => false
!`1` => false
!'a' => false
!`{}` => true
!`[]` => true
!`[0]` => false
`0` || `1` => 0
'' || 'x' => "x"
`0` && `1` => 1
'' && `1` => ""
`[]` && `1` => []
`1` || `2` && `3` => 1
(`1` || `2`) && `3` => 3
`null` == @ => true
type(&a) => null
map(&@, `[1, null, "a"]`) => [1, null, "a"]
map(&a, `[]`) => []
values(`{"b": 1, "a": null}`) => [1, null]
keys(`{"b": 1, "a": 2}`) => ["b", "a"]
merge(`{}`, '') => {}
merge(`{}`, `[["a", 1], "bc", {"x": 0, "y": 0}, [null, 2], [1.5, 3]]`) => {"a": 1, "b": "c", "x": "y", "null": 2, "1.5": 3}
merge(`{"a": 1, "b": 2}`, `{"c": 3, "a": 4}`) => {"a": 4, "b": 2, "c": 3}
to_array(`null`) => [null]
(`[1]`)[0] => 1
`[1, 2]`[1] => 2
`{"a": 1}`.a => 1
'a'.b => null
[@] => null
{a: @} => null
@.a => null
`{"a": 1, "a": 2}` => {"a": 2}
contains(`[1]`, &a) => false
`18446744073709551615` => 18446744073709551615
abs(`-9223372036854775808`) => 9223372036854775808
given [[{"a": 1}, {"a": 2}], [{"a": 3}]]
[0][0:2].a => null
[0][0:2] => [{"a": 1}, {"a": 2}]
[0:2][0].a => [1, 3]
[*][*].a => [[1, 2], [3]]
[][].a => [1, 2, 3]
[*][0:1].a => [[1], [3]]
[].a => [1, 2, 3]
[*].a => []
([0])[0:1].a => null
[0] | [0:1].a => [1]
[0:1][*].a => [[1, 2]]
[*][0].a => [1, 3]
[*][?a > `1`].a => [[2], [3]]
[?[0].a == `3`][].a => [3]
[][?a == `2`] => []
[0][?a == `1`].a | [0] => 1
*.a => null
[1][0].* => [3]
[*].[*] => [[null], [null]]
[*].length(@) => [2, 1]
map(&[0].a, @) => [1, 3]
max_by(@, &length(@))[1].a => 2
[0].{x: [0].a, y: [1].a} => {"x": 1, "y": 2}
"###;

fn search(expression: &str, document: &Value) -> Result<Value, JmespathError> {
    compile(expression)?.search(document)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Gives each row of a table to `check`: the expression, the document, and what is to come of it.
fn each_row(table: &str, check: impl Fn(&str, &Value, &str)) {
    let mut document = Value::Null;
    for line in table.lines().filter(|line| !line.is_empty()) {
        if let Some(given) = line.strip_prefix("given ") {
            document = json(given);
            continue;
        }
        let (expression, expected) = line.split_once(" => ").expect("EXPRESSION => RESULT");
        check(expression, &document, expected);
    }
}

#[test]
fn an_expression_finds_what_it_says_with_the_members_in_order() {
    each_row(FOUND, |expression, document, expected| {
        match search(expression, document) {
            // As text, since the order of members and the kind of a number count.
            Ok(found) => assert_eq!(
                found.to_string(),
                json(expected).to_string(),
                "{expression}"
            ),
            Err(e) => panic!("{expression}: {e}"),
        }
    });
}

#[test]
fn white_space_between_tokens_means_nothing() {
    let document = json(r#"{"foo": {"bar": 1}}"#);
    let found = search(" foo\t.\r\n bar\n", &document);
    assert_eq!(found, Ok(Value::from(1)));
}

#[test]
fn what_is_no_json_number_becomes_null() {
    for expression in [
        "to_number('nan')",
        "to_number('-inf')",
        "to_number('1e400')",
    ] {
        assert_eq!(
            search(expression, &Value::Null),
            Ok(Value::Null),
            "{expression}"
        );
    }
}

#[test]
fn a_number_beyond_64_bits_becomes_a_float() {
    for (expression, expected) in [
        (
            "to_string(to_number('18446744073709551616'))",
            "1.8446744073709552e+19",
        ),
        ("to_string(ceil(`1e300`))", "1e+300"),
        (
            "to_string(sum(`[18446744073709551615, 1]`))",
            "1.8446744073709552e+19",
        ),
    ] {
        let found = search(expression, &Value::Null);
        assert_eq!(found, Ok(Value::from(expected)), "{expression}");
    }
}

#[test]
fn no_expression_uses_up_the_stack() {
    let many = 100_000;
    let beside = |begin: &str, more: &str, end: &str| format!("{begin}{}{end}", more.repeat(many));
    for expression in [
        beside("", "(", ""),
        beside("", "!", "a"),
        beside("", "[", ""),
        beside("", "{a: ", ""),
        beside("", "a.[", ""),
        beside("", "a[?", ""),
        beside("", "*.", "a"),
        beside("", "f(", ""),
        beside("", "f(&", ""),
        beside("a", "[*]", ""),
        beside("a", "[]", ""),
        beside("a", "[?a]", ""),
        beside("a", "[:]", ""),
        beside("a", ".*", ""),
        beside("a", "==a", ""),
        beside("", "[@] | ", "@"),
        beside("", "to_array(@) | ", "@"),
        beside("`", "[", "`"),
    ] {
        let found = compile(&expression).err();
        assert_eq!(found, Some(JmespathError::TooDeep), "{}", &expression[..12]);
    }
}

#[test]
fn a_long_expression_is_not_a_deep_one() {
    let document = json(r#"{"a": {"a": 1}}"#);
    for (begin, more) in [
        ("a", ".a"),
        ("a", " | a"),
        ("a", " || a.a"),
        ("a", " && a.a"),
        ("a", "[0]"),
        ("[a", ", a.a"),
        ("length(@)", " == `1` || a"),
    ] {
        let end = if begin.starts_with('[') { "]" } else { "" };
        let expression = format!("{begin}{}{end}", more.repeat(20_000));
        assert!(search(&expression, &document).is_ok(), "{begin}{more}");
    }
    let nested = format!("{}a.a{}", "[".repeat(100), "]".repeat(100));
    let found = search(&nested, &document).map(|found| found.to_string());
    assert_eq!(found, Ok(nested.replace("a.a", "1")));
}
