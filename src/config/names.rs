//! Which names a file may set: those of the fields of all components.
//!
//! A component reads its own fields out of the file and passes over all others, so a name that no component has would go
//! unseen. `Names` reads only the names and refuses such a one where it stands in the file. The list comes from the
//! structs themselves: `fields` reads a struct with a deserializer that gives no data and keeps the names serde asks for.

use super::cluster::Cluster;
use super::console::Console;
use super::fetch::Fetch;
use super::groups::Groups;
use super::kafka::Kafka;
use super::memory::Memory;
use super::storage::Storage;
use super::topics::Topics;
use serde::Deserialize;
use serde::de::value::Error as Nothing;
use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::fmt;
use std::sync::LazyLock;

/// The names that a file may set.
pub(super) fn known() -> &'static [&'static str] {
    static KNOWN: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let parts = [
            fields::<Storage>(),
            fields::<Kafka>(),
            fields::<Cluster>(),
            fields::<Console>(),
            fields::<Topics>(),
            fields::<Groups>(),
            fields::<Fetch>(),
            fields::<Memory>(),
        ];
        parts.concat()
    });
    &KNOWN
}

/// The names of the fields of a struct, as they stand in the file.
fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut found: &'static [&'static str] = &[];
    // It always fails: there is nothing to read.
    let _ = T::deserialize(Asked(&mut found));
    found
}

struct Asked<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Nothing;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Nothing> {
        Err(Nothing::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Nothing> {
        *self.0 = fields;
        Err(Nothing::custom("nothing to read"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A file whose names are all known.
pub(super) struct Names;

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Names, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

impl<'de> Visitor<'de> for Names {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("struct Config")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
        while map.next_entry::<Name, IgnoredAny>()?.is_some() {}
        Ok(self)
    }
}

struct Name;

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_identifier(Name)
    }
}

impl Visitor<'_> for Name {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("field identifier")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
        let known = known();
        if known.contains(&name) { Ok(self) } else { Err(E::unknown_field(name, known)) }
    }
}
