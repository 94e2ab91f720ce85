//! Policy documents: text to statements, with everything checked that can be checked without a
//! request.
//!
//! A statement of a key policy may lack actions or resources and then has no effect; one of an
//! identity-based policy may not. Source: IAM User Guide, "Grammar of the IAM JSON policy
//! language"; AWS KMS API Reference, CreateKey.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::{BadValue, Condition, Operator};
use super::json::Json;
use super::malformed::{MalformedPolicy, excerpt};
use super::pattern::{Case, Pattern, Syntax};
use super::principal::{Principal, Principals};
use super::{Facts, PolicyKind};

/// The API's bound for the text of a policy; kinds of policies have lower ones.
const MOST_BYTES: usize = 131_072;

/// A statement, ready to be judged.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    pub(super) principals: Principals,
    actions: Scope,
    resources: Scope,
    conditions: Vec<Condition>,
}

/// What a statement does when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// What `Action` and `Resource`, or their opposites, are about.
#[derive(Debug, Clone)]
enum Scope {
    Nothing,
    Only(Vec<Pattern>),
    AllBut(Vec<Pattern>),
}

impl Statement {
    /// Whether it is about the action and the resource, and its conditions are met.
    pub(super) fn covers(&self, request: &Facts<'_>) -> bool {
        self.actions.covers(request.action, Case::Ignored, request)
            && self
                .resources
                .covers(request.resource, Case::Exact, request)
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(request.keys))
    }
}

impl Scope {
    fn covers(&self, text: &str, case: Case, request: &Facts<'_>) -> bool {
        let matches = |pattern: &Pattern| pattern.matches(text, case, request.keys);
        match self {
            Self::Nothing => false,
            Self::Only(patterns) => patterns.iter().any(matches),
            // A pattern whose variable has no value matches nothing, and so excludes nothing.
            Self::AllBut(patterns) => !patterns.iter().any(matches),
        }
    }
}

type Members = BTreeMap<String, Json>;

/// What all parts of a document need to know.
#[derive(Clone, Copy)]
struct Reader {
    kind: PolicyKind,
    /// Whether the version of the language has variables.
    variables: bool,
}

/// Reads a document.
pub(super) fn parse(text: &str, kind: PolicyKind) -> Result<Vec<Statement>, MalformedPolicy> {
    if text.len() > MOST_BYTES {
        return Err(MalformedPolicy::TooLarge { limit: MOST_BYTES });
    }
    let document = Json::parse(text).map_err(|error| MalformedPolicy::NotJson {
        fault: error.to_string(),
    })?;
    let mut members = object(document, "the policy")?;
    let version = optional_text(&mut members, "Version")?;
    let variables = match version.as_deref() {
        Some("2012-10-17") => true,
        Some("2008-10-17") | None => false,
        Some(found) => {
            return Err(MalformedPolicy::Version {
                found: excerpt(found),
            });
        }
    };
    optional_text(&mut members, "Id")?;
    let statements: Vec<(String, Json)> = match required(&mut members, "Statement")? {
        Json::List(list) if list.is_empty() => {
            return Err(MalformedPolicy::Empty {
                place: "Statement".to_owned(),
            });
        }
        Json::List(list) => list
            .into_iter()
            .enumerate()
            .map(|(index, statement)| (format!("Statement[{index}]"), statement))
            .collect(),
        single => vec![("Statement".to_owned(), single)],
    };
    nothing_else(&members, None)?;
    let reader = Reader { kind, variables };
    let mut identifiers = BTreeSet::new();
    statements
        .into_iter()
        .map(|(place, statement)| reader.statement(&place, statement, &mut identifiers))
        .collect()
}

impl Reader {
    fn statement(
        self,
        place: &str,
        statement: Json,
        identifiers: &mut BTreeSet<String>,
    ) -> Result<Statement, MalformedPolicy> {
        let mut members = object(statement, place)?;
        self.identifier(place, &mut members, identifiers)?;
        let effect = effect(place, &mut members)?;
        let principals = self.principals(place, &mut members)?;
        let actions = self.scope(place, &mut members, "Action", "NotAction", Self::action)?;
        let resources = self.scope(
            place,
            &mut members,
            "Resource",
            "NotResource",
            Self::resource,
        )?;
        let conditions = match members.remove("Condition") {
            Some(condition) => self.conditions(&format!("{place}.Condition"), condition)?,
            None => Vec::new(),
        };
        nothing_else(&members, Some(place))?;
        Ok(Statement {
            effect,
            principals,
            actions,
            resources,
            conditions,
        })
    }

    /// Checks `Sid`. In a key policy it may have spaces, and need not be unique.
    fn identifier(
        self,
        place: &str,
        members: &mut Members,
        identifiers: &mut BTreeSet<String>,
    ) -> Result<(), MalformedPolicy> {
        let Some(sid) = members.remove("Sid") else {
            return Ok(());
        };
        let place = format!("{place}.Sid");
        let sid = text(sid, &place)?;
        if self.kind == PolicyKind::Key || sid.is_empty() {
            return Ok(());
        }
        let found = excerpt(&sid);
        if !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(MalformedPolicy::Sid { place, found });
        }
        if !identifiers.insert(sid) {
            return Err(MalformedPolicy::SameSid { place, found });
        }
        Ok(())
    }

    fn principals(self, place: &str, members: &mut Members) -> Result<Principals, MalformedPolicy> {
        let (name, value) = match one_of(place, members, "Principal", "NotPrincipal")? {
            Some(found) if self.kind == PolicyKind::Key => found,
            Some((name, _)) => {
                return Err(MalformedPolicy::PrincipalInIdentityPolicy {
                    place: format!("{place}.{name}"),
                });
            }
            None if self.kind == PolicyKind::Identity => return Ok(Principals::Attached),
            None => {
                return Err(MalformedPolicy::Missing {
                    place: format!("{place}.Principal"),
                });
            }
        };
        let list = principals(&format!("{place}.{name}"), value)?;
        Ok(if name == "Principal" {
            Principals::Only(list)
        } else {
            Principals::AllBut(list)
        })
    }

    fn scope(
        self,
        place: &str,
        members: &mut Members,
        name: &'static str,
        opposite: &'static str,
        read: fn(Self, &str, &str) -> Result<Pattern, MalformedPolicy>,
    ) -> Result<Scope, MalformedPolicy> {
        let (found, value) = match one_of(place, members, name, opposite)? {
            Some(found) => found,
            None if self.kind == PolicyKind::Key => return Ok(Scope::Nothing),
            None => {
                return Err(MalformedPolicy::Missing {
                    place: format!("{place}.{name}"),
                });
            }
        };
        let place = format!("{place}.{found}");
        let patterns: Vec<Pattern> = texts(value, &place)?
            .iter()
            .map(|text| read(self, &place, text))
            .collect::<Result<_, _>>()?;
        Ok(if found == name {
            Scope::Only(patterns)
        } else {
            Scope::AllBut(patterns)
        })
    }

    /// `*`, or a service and a name with one colon between them.
    fn action(self, place: &str, text: &str) -> Result<Pattern, MalformedPolicy> {
        let syntax = Syntax {
            wildcards: true,
            variables: false,
        };
        let is_action = text == "*"
            || text.split_once(':').is_some_and(|(service, name)| {
                (service == "*" || is_made_of(service, "-.")) && is_made_of(name, "*?-_")
            });
        Pattern::parse(text, syntax)
            .filter(|_| is_action)
            .ok_or_else(|| MalformedPolicy::Action {
                place: place.to_owned(),
                found: excerpt(text),
            })
    }

    /// `*` or an ARN. A key policy is about its key only: what else it names is never asked for.
    fn resource(self, place: &str, text: &str) -> Result<Pattern, MalformedPolicy> {
        let (place, found) = (place.to_owned(), excerpt(text));
        let syntax = Syntax {
            wildcards: true,
            variables: self.variables,
        };
        let Some(mut pattern) = Pattern::parse(text, syntax) else {
            return Err(MalformedPolicy::Variable { place, found });
        };
        let mut fields = text.splitn(4, ':');
        let is_arn = fields.next() == Some("arn")
            && fields
                .next()
                .is_some_and(|partition| partition == "*" || partition.starts_with("aws"))
            && fields.next().is_some_and(|service| !service.is_empty());
        if is_arn {
            if pattern.has_variable_before_resource() {
                return Err(MalformedPolicy::VariableInArn { place, found });
            }
            pattern.complete_arn();
        } else if text != "*" && self.kind == PolicyKind::Identity {
            return Err(MalformedPolicy::Resource { place, found });
        }
        Ok(pattern)
    }

    fn conditions(self, place: &str, value: Json) -> Result<Vec<Condition>, MalformedPolicy> {
        let mut conditions = Vec::new();
        for (name, keys) in object(value, place)? {
            let place = format!("{place}.{}", excerpt(&name));
            let Some(operator) = Operator::parse(&name) else {
                return Err(MalformedPolicy::Operator { place });
            };
            for (key, values) in object(keys, &place)? {
                let place = format!("{place}.{}", excerpt(&key));
                conditions.push(self.condition(place, operator, &key, values)?);
            }
        }
        Ok(conditions)
    }

    fn condition(
        self,
        place: String,
        operator: Operator,
        key: &str,
        values: Json,
    ) -> Result<Condition, MalformedPolicy> {
        let is_key = key
            .split_once(':')
            .is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
        if !is_key || key.contains("${") {
            return Err(MalformedPolicy::ConditionKey { place });
        }
        if self.kind == PolicyKind::Key
            && operator.is_for_all_values()
            && let Some(what) = of_one_value(key)
        {
            return Err(MalformedPolicy::OverlyPermissive { place, what });
        }
        let values = scalars(values, &place)?;
        Condition::new(operator, key, &values, self.variables).map_err(|(found, why)| {
            let found = excerpt(&found);
            match why {
                BadValue::Not(expected) => MalformedPolicy::Value {
                    place,
                    found,
                    expected,
                },
                BadValue::Variable => MalformedPolicy::Variable { place, found },
            }
        })
    }
}

/// What a key is about for which KMS refuses `ForAllValues`: it is true when the key is absent.
fn of_one_value(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    if key.starts_with("kms:encryptioncontext:") {
        Some("encryption context")
    } else if key.starts_with("aws:requesttag/") {
        Some("tag")
    } else {
        None
    }
}

fn effect(place: &str, members: &mut Members) -> Result<Effect, MalformedPolicy> {
    let Some(value) = members.remove("Effect") else {
        return Err(MalformedPolicy::Missing {
            place: format!("{place}.Effect"),
        });
    };
    let place = format!("{place}.Effect");
    match text(value, &place)?.as_str() {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        other => Err(MalformedPolicy::Effect {
            place,
            found: excerpt(other),
        }),
    }
}

/// `*`, or lists of principals by their kinds.
fn principals(place: &str, value: Json) -> Result<Vec<Principal>, MalformedPolicy> {
    let members = match value {
        Json::Text(text) if text == "*" => return Ok(vec![Principal::Everybody]),
        Json::Object(members) if members.is_empty() => {
            return Err(MalformedPolicy::Empty {
                place: place.to_owned(),
            });
        }
        Json::Object(members) => members,
        _ => {
            return Err(MalformedPolicy::WrongType {
                place: place.to_owned(),
                expected: "\"*\" or an object",
            });
        }
    };
    let mut list = Vec::new();
    for (kind, names) in members {
        let place = format!("{place}.{}", excerpt(&kind));
        if !["AWS", "Service", "Federated", "CanonicalUser"].contains(&kind.as_str()) {
            return Err(MalformedPolicy::Unknown { place });
        }
        for name in texts(names, &place)? {
            let principal = match kind.as_str() {
                "AWS" => Principal::parse(&name),
                _ => Some(Principal::Foreign).filter(|_| !name.is_empty()),
            };
            list.push(principal.ok_or_else(|| MalformedPolicy::Principal {
                place: place.clone(),
                found: excerpt(&name),
            })?);
        }
    }
    Ok(list)
}

/// Whether `text` is not empty and has only letters, digits and the characters of `others`.
fn is_made_of(text: &str, others: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || others.contains(character))
}

fn object(value: Json, place: &str) -> Result<Members, MalformedPolicy> {
    match value {
        Json::Object(members) => Ok(members),
        _ => Err(wrong_type(place, "an object")),
    }
}

fn text(value: Json, place: &str) -> Result<String, MalformedPolicy> {
    match value {
        Json::Text(text) => Ok(text),
        _ => Err(wrong_type(place, "a text")),
    }
}

/// One text or a list of them, at least one.
fn texts(value: Json, place: &str) -> Result<Vec<String>, MalformedPolicy> {
    list(value, place, |item| match item {
        Json::Text(text) => Ok(text),
        _ => Err(wrong_type(place, "a text or a list of texts")),
    })
}

/// One text, number or truth value, or a list of them, at least one; all as text.
fn scalars(value: Json, place: &str) -> Result<Vec<String>, MalformedPolicy> {
    list(value, place, |item| match item {
        Json::Text(text) | Json::Number(text) => Ok(text),
        Json::Boolean(value) => Ok(value.to_string()),
        _ => Err(wrong_type(place, "a value or a list of values")),
    })
}

fn list(
    value: Json,
    place: &str,
    read: impl Fn(Json) -> Result<String, MalformedPolicy>,
) -> Result<Vec<String>, MalformedPolicy> {
    match value {
        Json::List(items) if items.is_empty() => Err(MalformedPolicy::Empty {
            place: place.to_owned(),
        }),
        Json::List(items) => items.into_iter().map(read).collect(),
        single => Ok(vec![read(single)?]),
    }
}

fn wrong_type(place: &str, expected: &'static str) -> MalformedPolicy {
    MalformedPolicy::WrongType {
        place: place.to_owned(),
        expected,
    }
}

fn required(members: &mut Members, name: &str) -> Result<Json, MalformedPolicy> {
    members
        .remove(name)
        .ok_or_else(|| MalformedPolicy::Missing {
            place: name.to_owned(),
        })
}

fn optional_text(members: &mut Members, name: &str) -> Result<Option<String>, MalformedPolicy> {
    match members.remove(name) {
        Some(value) => text(value, name).map(Some),
        None => Ok(None),
    }
}

/// The one of two elements that is there, with its name.
fn one_of(
    place: &str,
    members: &mut Members,
    name: &'static str,
    opposite: &'static str,
) -> Result<Option<(&'static str, Json)>, MalformedPolicy> {
    match (members.remove(name), members.remove(opposite)) {
        (Some(_), Some(_)) => Err(MalformedPolicy::Excluded {
            place: format!("{place}.{name}"),
            other: opposite,
        }),
        (Some(value), None) => Ok(Some((name, value))),
        (None, Some(value)) => Ok(Some((opposite, value))),
        (None, None) => Ok(None),
    }
}

/// Refuses what is left after every known element has been taken out.
fn nothing_else(members: &Members, place: Option<&str>) -> Result<(), MalformedPolicy> {
    let Some(name) = members.keys().next() else {
        return Ok(());
    };
    let name = excerpt(name);
    let place = match place {
        Some(place) => format!("{place}.{name}"),
        None => name,
    };
    Err(MalformedPolicy::Unknown { place })
}

#[cfg(test)]
mod tests;
