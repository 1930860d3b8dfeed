//! `message!`: one declaration, from which the structure, its defaults, reading and writing follow.
//!
//! ```text
//!   message! { Name: flexible 9 {
//!       field: Type, 1..=13;                      versions it stands in
//!       field: Type, 4..=13, or true;             what it is elsewhere (else the type's own default)
//!       field: Option<Type>, 0..=13, null 1;      null allowed from version 1
//!       field: Type, 10..=13, tag 0;              a tagged field: written only when it is not its default
//!   } }
//! ```

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

macro_rules! default_of {
    () => {
        Default::default()
    };
    ($value:expr) => {
        $value
    };
}

macro_rules! message {
    ($(#[$meta:meta])* $name:ident: flexible $flexible:literal {
        $( $(#[$fmeta:meta])* $field:ident: $ty:ty, $from:literal..=$to:literal
           $(, null $null:literal)? $(, tag $tag:literal)? $(, or $default:expr)?; )*
    }) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Debug)]
        pub struct $name { $( $(#[$fmeta])* pub $field: $ty, )* }

        impl Default for $name {
            fn default() -> $name {
                $name { $( $field: $crate::kafka::wire::declare::default_of!($($default)?), )* }
            }
        }

        #[allow(unused_comparisons, clippy::absurd_extreme_comparisons, clippy::manual_range_contains)]
        impl $crate::kafka::wire::field::Field for $name {
            fn take(
                reader: &mut $crate::kafka::wire::Reader<'_>,
                cx: $crate::kafka::wire::field::Cx,
            ) -> Result<$name, $crate::kafka::wire::WireError> {
                use $crate::kafka::wire::{declare::optional, field::{Cx, Field}, WireError};
                let mut out = $name::default();
                let version = cx.version;
                let flexible = version >= $flexible;
                $(
                    let tag: Option<u32> = optional!($($tag)?);
                    if tag.is_none() && ($from..=$to).contains(&version) {
                        let null: Option<i16> = optional!($($null)?);
                        let cx = Cx { version, flexible, nullable: null.is_some_and(|n| version >= n) };
                        out.$field = Field::take(reader, cx)
                            .map_err(|e: WireError| e.within(stringify!($name), stringify!($field)))?;
                    }
                )*
                if flexible {
                    for _ in 0..reader.uvarint()? {
                        let (found, length) = (reader.uvarint()?, reader.uvarint()? as usize);
                        reader.nested(length, |reader| {
                            let _ = found;
                            $(
                                if optional!($($tag)?) == Some(found) && ($from..=$to).contains(&version) {
                                    let null: Option<i16> = optional!($($null)?);
                                    let cx = Cx { version, flexible, nullable: null.is_some_and(|n| version >= n) };
                                    out.$field = Field::take(reader, cx)
                                        .map_err(|e: WireError| e.within(stringify!($name), stringify!($field)))?;
                                    return Ok(());
                                }
                            )*
                            reader.range(reader.remaining()).map(|_| ())
                        })?;
                    }
                }
                Ok(out)
            }

            fn put(
                &self,
                writer: &mut $crate::kafka::wire::Writer,
                cx: $crate::kafka::wire::field::Cx,
            ) -> Result<(), $crate::kafka::wire::WireError> {
                use $crate::kafka::wire::{declare::optional, field::Cx, flat, Writer, WireError};
                let version = cx.version;
                let flexible = version >= $flexible;
                let mut tagged: Vec<(u32, Vec<u8>)> = Vec::new();
                let default = $name::default();
                $(
                    if ($from..=$to).contains(&version) {
                        let null: Option<i16> = optional!($($null)?);
                        let cx = Cx { version, flexible, nullable: null.is_some_and(|n| version >= n) };
                        let named = |e: WireError| e.within(stringify!($name), stringify!($field));
                        match optional!($($tag)?) {
                            None => self.$field.put(writer, cx).map_err(named)?,
                            Some(tag) if self.$field != default.$field => {
                                let mut inner = Writer::new();
                                self.$field.put(&mut inner, cx).map_err(named)?;
                                tagged.push((tag, flat(&inner.finish())?));
                            }
                            Some(_) => {}
                        }
                    }
                )*
                let _ = &default;
                if flexible {
                    writer.uvarint(tagged.len() as u32);
                    for (tag, bytes) in tagged {
                        writer.uvarint(tag);
                        writer.uvarint(bytes.len() as u32);
                        writer.put(&bytes);
                    }
                }
                Ok(())
            }
        }

        impl $crate::kafka::wire::Message for $name {
            const NAME: &'static str = stringify!($name);

            fn decode(
                reader: &mut $crate::kafka::wire::Reader<'_>,
                version: i16,
            ) -> Result<$name, $crate::kafka::wire::WireError> {
                use $crate::kafka::wire::field::{Cx, Field};
                <$name as Field>::take(reader, Cx { version, flexible: version >= $flexible, nullable: false })
            }

            fn encode(
                &self,
                writer: &mut $crate::kafka::wire::Writer,
                version: i16,
            ) -> Result<(), $crate::kafka::wire::WireError> {
                use $crate::kafka::wire::field::{Cx, Field};
                self.put(writer, Cx { version, flexible: version >= $flexible, nullable: false })
            }
        }
    };
}

/// A structure that may be null: a byte before it says whether it is there.
macro_rules! nullable {
    ($name:ident) => {
        impl $crate::kafka::wire::field::Field for Option<$name> {
            fn take(
                reader: &mut $crate::kafka::wire::Reader<'_>,
                cx: $crate::kafka::wire::field::Cx,
            ) -> Result<Option<$name>, $crate::kafka::wire::WireError> {
                match reader.array::<1>()? {
                    [0xff] if cx.nullable => Ok(None),
                    [1] => $crate::kafka::wire::field::Field::take(reader, cx).map(Some),
                    _ => Err("a structure that is neither there nor null".into()),
                }
            }

            fn put(
                &self,
                writer: &mut $crate::kafka::wire::Writer,
                cx: $crate::kafka::wire::field::Cx,
            ) -> Result<(), $crate::kafka::wire::WireError> {
                match self {
                    Some(inner) => {
                        writer.put(&[1]);
                        inner.put(writer, cx)
                    }
                    None if cx.nullable => {
                        writer.put(&[0xff]);
                        Ok(())
                    }
                    None => Err("null in a version that has no null".into()),
                }
            }
        }
    };
}

pub(super) use {default_of, message, nullable, optional};
