//! The model of the API: what members requests and responses have, and of what type.
//!
//! One description serves everybody who speaks the API by name: JSON is validated against it, the
//! command line takes its options from it, and samples are made of it. It is composed at compile
//! time from the Rust types in `shapes`, so that the two cannot disagree. Owns no operation.
//! Source: AWS KMS API Reference.

use super::context::EncryptionContext;
use super::shapes::Blob;

/// The type of a member, with the constraints of the model.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Text; least and most characters.
    Text(usize, usize),
    /// Binary data, base64 in JSON; least and most bytes.
    Blob(usize, usize),
    /// A whole number within bounds.
    Integer(i64, i64),
    /// True or false.
    Boolean,
    /// Seconds since 1970, a number with a fraction.
    Timestamp,
    /// One of a set of names.
    Choice(&'static [&'static str]),
    /// Pairs of strings.
    Map,
    /// A list of items; least and most of them.
    List(&'static Shape, usize, usize),
    /// Named members.
    Structure(&'static [Member]),
}

/// A member of a structure.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its name, as in JSON.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// Its type.
    pub shape: Shape,
}

impl Shape {
    /// The same type with other bounds: characters, bytes, items, or the number itself.
    pub const fn within(self, least: i64, most: i64) -> Self {
        match self {
            Self::Text(..) => Self::Text(least as usize, most as usize),
            Self::Blob(..) => Self::Blob(least as usize, most as usize),
            Self::Integer(..) => Self::Integer(least, most),
            Self::List(item, ..) => Self::List(item, least as usize, most as usize),
            Self::Boolean | Self::Timestamp | Self::Choice(_) | Self::Map | Self::Structure(_) => {
                self
            }
        }
    }
}

/// A Rust type that stands for a type of the model.
pub trait Described {
    /// Whether a member of this type must be there.
    const REQUIRED: bool = true;
    /// The type of the model.
    const SHAPE: Shape;

    /// Whether the member is left out of JSON.
    fn is_absent(&self) -> bool {
        false
    }
}

impl<T: Described> Described for Option<T> {
    const REQUIRED: bool = false;
    const SHAPE: Shape = T::SHAPE;

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Described> Described for Vec<T> {
    const SHAPE: Shape = Shape::List(&T::SHAPE, 0, usize::MAX);
}

impl Described for String {
    const SHAPE: Shape = Shape::Text(0, usize::MAX);
}

impl Described for Blob {
    const SHAPE: Shape = Shape::Blob(0, usize::MAX);
}

impl Described for i64 {
    const SHAPE: Shape = Shape::Integer(i64::MIN, i64::MAX);
}

impl Described for bool {
    const SHAPE: Shape = Shape::Boolean;
}

impl Described for f64 {
    const SHAPE: Shape = Shape::Timestamp;
}

impl Described for EncryptionContext {
    const SHAPE: Shape = Shape::Map;
}

/// Structures of the API: a Rust type each, and its description.
///
/// `Name field: Type [least..=most, item least..=item most] as NAMES`: bounds and names only where
/// the type alone does not say them.
macro_rules! structures {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$attribute:meta])* $member:ident $field:ident: $type:ty
            $([$($bounds:tt)*])? $(as $names:ident)?),* $(,)?
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        #[allow(missing_docs, reason = "the members are the API's; its reference says what they are")]
        pub struct $name {
            $(
                #[serde(default, skip_serializing_if = "crate::kms::shape::Described::is_absent")]
                $(#[$attribute])*
                pub $field: $type,
            )*
        }

        impl crate::kms::shape::Described for $name {
            const SHAPE: crate::kms::shape::Shape = crate::kms::shape::Shape::Structure(&[
                $(crate::kms::shape::Member {
                    name: stringify!($member),
                    required: <$type as crate::kms::shape::Described>::REQUIRED,
                    shape: crate::kms::shape::described!($type $(, [$($bounds)*])? $(, as $names)?),
                }),*
            ]);
        }
    )*};
}

/// The description of a member: its type's, with the bounds or names that are given.
macro_rules! described {
    ($type:ty) => {
        <$type as crate::kms::shape::Described>::SHAPE
    };
    ($type:ty, [$least:literal ..= $most:literal]) => {
        <$type as crate::kms::shape::Described>::SHAPE.within($least, $most)
    };
    ($type:ty, [$least:literal ..= $most:literal, $item_least:literal ..= $item_most:literal]) => {{
        const ITEM: crate::kms::shape::Shape =
            crate::kms::shape::Shape::Text($item_least, $item_most);
        crate::kms::shape::Shape::List(&ITEM, $least, $most)
    }};
    ($type:ty, as $names:ident) => {
        crate::kms::shape::Shape::Choice($names)
    };
    ($type:ty, [$least:literal ..= $most:literal], as $names:ident) => {{
        const ITEM: crate::kms::shape::Shape = crate::kms::shape::Shape::Choice($names);
        crate::kms::shape::Shape::List(&ITEM, $least, $most)
    }};
}

pub(super) use {described, structures};
