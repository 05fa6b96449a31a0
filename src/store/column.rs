//! How the program's types are written into columns and read back.
//!
//! Ids and amounts are INTEGER, names of states are TEXT, moments are INTEGER Unix milliseconds, JSON is TEXT.
//! Types of other crates cannot be taught to sqlx here, so [`Millis`], [`Json`] and their `Maybe` twins stand in for
//! them in a column list, and turn into them on the way into the row's struct.

use super::{Activity, Answer, AuthorKind, BillKind, EvaluationKind, MailKind, SpendState};
use crate::base::{
    ArtifactId, CheckpointId, DatasetId, DecisionId, EvaluationId, Fault, JobId, JobKind, JobState, LoopEnding, LoopId,
    MailId, MessageId, MissionEnding, MissionId, MissionState, NanoUsd, Persona, Seed, Stage, Timestamp, TurnId,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteTypeInfo, SqliteValueRef};
use sqlx::{Database, Decode, Encode, Sqlite, Type};

/// `moment` as it is stored.
pub(super) fn ms(moment: Timestamp) -> i64 {
    moment.as_millisecond()
}

/// A count as it is stored. Counts beyond 2⁶³ do not occur; they would be stored as 2⁶³ − 1.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Gives a type the columns of `$as`: `$write` turns a reference into that, `$read` turns it back, or fails.
macro_rules! column {
    ($name:ty as $as:ty, $write:expr, $read:expr) => {
        impl Type<Sqlite> for $name {
            fn type_info() -> SqliteTypeInfo {
                <$as as Type<Sqlite>>::type_info()
            }
            fn compatible(found: &SqliteTypeInfo) -> bool {
                <$as as Type<Sqlite>>::compatible(found)
            }
        }
        impl Encode<'_, Sqlite> for $name {
            fn encode_by_ref(&self, buffer: &mut <Sqlite as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let write: fn(&$name) -> $as = $write;
                <$as as Encode<'_, Sqlite>>::encode(write(self), buffer)
            }
        }
        impl Decode<'_, Sqlite> for $name {
            fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
                let read: fn($as) -> Result<$name, BoxDynError> = $read;
                read(<$as as Decode<'_, Sqlite>>::decode(value)?)
            }
        }
    };
}

macro_rules! numbered {
    ($($name:ident),+ $(,)?) => {$( column!($name as i64, |id| id.0, |number| Ok($name(number))); )+};
}

numbered!(
    MissionId,
    LoopId,
    JobId,
    DecisionId,
    MessageId,
    MailId,
    TurnId,
    EvaluationId,
    DatasetId,
    CheckpointId,
    NanoUsd
);
column!(ArtifactId as String, |id| id.0.clone(), |text| Ok(ArtifactId(text)));
// All 64 bits matter, SQLite has 63 and a sign: the bits are kept, not the number.
column!(Seed as i64, |seed| seed.0.cast_signed(), |bits| Ok(Seed(bits.cast_unsigned())));

/// Gives enums with `as_str` and `FromStr` a TEXT column.
macro_rules! named {
    ($($name:ident),+ $(,)?) => {$(
        column!(
            $name as String,
            |value| value.as_str().to_owned(),
            |text| text.parse().map_err(|error: String| error.into())
        );
    )+};
}
named!(Stage, Persona, JobKind, JobState, MissionState, MissionEnding, LoopEnding, Fault, Answer);
named!(EvaluationKind, Activity, MailKind, AuthorKind, SpendState, BillKind);

/// An enum that only the store and its readers know, in the style of `base`: names, order, parsing.
/// Each also stands in the list of `named!` above, which gives it its TEXT column.
macro_rules! stored_states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant),+
        }
        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            /// The name in the store, in JSON and in messages.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok($name::$variant),)+
                    other => Err(format!(
                        concat!("\"{}\" is not a ", stringify!($name), "; known are: {}"),
                        other,
                        [$($text),+].join(", ")
                    )),
                }
            }
        }
    };
}

pub(super) use stored_states;

/// A type that stands in a column list for `$target`, and turns into it with `into()`, as sqlx does for every column.
macro_rules! stand_in {
    ($(#[$doc:meta])* $name:ident for $target:ty, as $as:ty, $read:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name($target);
        impl Type<Sqlite> for $name {
            fn type_info() -> SqliteTypeInfo {
                <$as as Type<Sqlite>>::type_info()
            }
            fn compatible(found: &SqliteTypeInfo) -> bool {
                <$as as Type<Sqlite>>::compatible(found)
            }
        }
        impl Decode<'_, Sqlite> for $name {
            fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
                let read: fn($as) -> Result<$target, BoxDynError> = $read;
                Ok($name(read(<$as as Decode<'_, Sqlite>>::decode(value)?)?))
            }
        }
        impl From<$name> for $target {
            fn from(column: $name) -> $target {
                column.0
            }
        }
    };
}

stand_in! {
    /// A moment.
    Millis for Timestamp, as i64, moment
}
stand_in! {
    /// A moment that may not have come yet.
    MaybeMillis for Option<Timestamp>, as Option<i64>, |ms| ms.map(moment).transpose()
}
stand_in! {
    /// A JSON document.
    Json for Value, as String, |text| parsed(&text)
}
stand_in! {
    /// A JSON document that may not be there yet.
    MaybeJson for Option<Value>, as Option<String>, |text| text.as_deref().map(parsed).transpose()
}
stand_in! {
    /// The attachments of a message.
    Attachments for Vec<super::Attachment>, as String, |text| parsed(&text)
}

fn moment(ms: i64) -> Result<Timestamp, BoxDynError> {
    Ok(Timestamp::from_millisecond(ms)?)
}

fn parsed<T: DeserializeOwned>(text: impl AsRef<str>) -> Result<T, BoxDynError> {
    Ok(serde_json::from_str(text.as_ref())?)
}
