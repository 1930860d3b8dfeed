//! How each type of field is read and written, in the compact and the older encoding.

use super::error::WireError;
use super::reader::Reader;
use super::writer::Writer;
use bytes::Bytes;
use callboard_actors::ports::Part;
use callboard_core::TopicId;
use std::ops::Range;

/// The facts of a message that reading and writing a field depend on.
#[derive(Clone, Copy, Debug)]
pub struct Cx {
    pub version: i16,
    /// Whether lengths are compact and structures end in tagged fields.
    pub flexible: bool,
    /// Whether null is allowed here, in this version.
    pub nullable: bool,
}

/// A type that can stand in a message.
pub trait Field: Sized {
    /// Reads a field in the encoding of its message.
    fn take(reader: &mut Reader<'_>, cx: Cx) -> Result<Self, WireError>;
    /// Writes a field in the encoding of its message.
    fn put(&self, writer: &mut Writer, cx: Cx) -> Result<(), WireError>;
}

macro_rules! number {
    ($($ty:ty),*) => {$(
        impl Field for $ty {
            fn take(reader: &mut Reader<'_>, _: Cx) -> Result<$ty, WireError> {
                Ok(<$ty>::from_be_bytes(reader.array()?))
            }
            fn put(&self, writer: &mut Writer, _: Cx) -> Result<(), WireError> {
                writer.put(&self.to_be_bytes());
                Ok(())
            }
        }
    )*};
}
number!(i8, i16, u16, i32, i64);

impl Field for bool {
    fn take(reader: &mut Reader<'_>, _: Cx) -> Result<bool, WireError> {
        Ok(reader.array::<1>()? != [0])
    }
    fn put(&self, writer: &mut Writer, _: Cx) -> Result<(), WireError> {
        writer.put(&[u8::from(*self)]);
        Ok(())
    }
}

impl Field for TopicId {
    fn take(reader: &mut Reader<'_>, _: Cx) -> Result<TopicId, WireError> {
        Ok(TopicId(reader.array()?))
    }
    fn put(&self, writer: &mut Writer, _: Cx) -> Result<(), WireError> {
        writer.put(&self.0);
        Ok(())
    }
}

fn text(reader: &mut Reader<'_>, length: usize) -> Result<String, WireError> {
    let bytes = reader.take(length)?;
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "text that is not UTF-8".into())
}

fn put_text(text: Option<&str>, writer: &mut Writer, cx: Cx) -> Result<(), WireError> {
    if text.is_some_and(|t| t.len() > i16::MAX as usize) {
        return Err("text longer than 32767 bytes".into());
    }
    writer.length(text.map(str::len), cx.flexible, true);
    writer.put(text.unwrap_or_default().as_bytes());
    Ok(())
}

impl Field for String {
    fn take(reader: &mut Reader<'_>, cx: Cx) -> Result<String, WireError> {
        let length = reader.length(cx.flexible, true)?.ok_or("null where text must be")?;
        text(reader, length)
    }
    fn put(&self, writer: &mut Writer, cx: Cx) -> Result<(), WireError> {
        put_text(Some(self), writer, cx)
    }
}

impl Field for Option<String> {
    fn take(reader: &mut Reader<'_>, cx: Cx) -> Result<Option<String>, WireError> {
        match reader.length(cx.flexible, true)? {
            Some(length) => text(reader, length).map(Some),
            None if cx.nullable => Ok(None),
            None => Err("null where text must be".into()),
        }
    }
    fn put(&self, writer: &mut Writer, cx: Cx) -> Result<(), WireError> {
        match self {
            // A version without null has the empty text for nothing.
            None if !cx.nullable => put_text(Some(""), writer, cx),
            text => put_text(text.as_deref(), writer, cx),
        }
    }
}

/// Bytes that outlive the frame, so they are copied out of it.
impl Field for Bytes {
    fn take(reader: &mut Reader<'_>, cx: Cx) -> Result<Bytes, WireError> {
        let length = reader.length(cx.flexible, false)?.ok_or("null where bytes must be")?;
        reader.take(length).map(Bytes::copy_from_slice)
    }
    fn put(&self, writer: &mut Writer, cx: Cx) -> Result<(), WireError> {
        writer.length(Some(self.len()), cx.flexible, false);
        writer.put(self);
        Ok(())
    }
}

fn elements<T: Field>(reader: &mut Reader<'_>, count: usize, cx: Cx) -> Result<Vec<T>, WireError> {
    reader.elements(count)?;
    let mut out = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        out.push(T::take(reader, cx)?);
    }
    Ok(out)
}

fn put_elements<T: Field>(elements: &[T], writer: &mut Writer, cx: Cx) -> Result<(), WireError> {
    writer.length(Some(elements.len()), cx.flexible, false);
    elements.iter().try_for_each(|element| element.put(writer, cx))
}

impl<T: Field> Field for Vec<T> {
    fn take(reader: &mut Reader<'_>, cx: Cx) -> Result<Vec<T>, WireError> {
        let count = reader.length(cx.flexible, false)?.ok_or("null where an array must be")?;
        elements(reader, count, cx)
    }
    fn put(&self, writer: &mut Writer, cx: Cx) -> Result<(), WireError> {
        put_elements(self, writer, cx)
    }
}

impl<T: Field> Field for Option<Vec<T>> {
    fn take(reader: &mut Reader<'_>, cx: Cx) -> Result<Option<Vec<T>>, WireError> {
        match reader.length(cx.flexible, false)? {
            Some(count) => elements(reader, count, cx).map(Some),
            None if cx.nullable => Ok(None),
            None => Err("null where an array must be".into()),
        }
    }
    fn put(&self, writer: &mut Writer, cx: Cx) -> Result<(), WireError> {
        match self {
            Some(elements) => put_elements(elements, writer, cx),
            None if cx.nullable => {
                writer.length(None, cx.flexible, false);
                Ok(())
            }
            None => Err("null in a version that has no null".into()),
        }
    }
}

/// Record batches, never copied: where they lie in a frame, or the pieces to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordBytes {
    /// A range of the frame that was decoded.
    Frame(Range<usize>),
    /// Pieces that are sent one after the other.
    Parts(Vec<Part>),
}

impl Field for Option<RecordBytes> {
    fn take(reader: &mut Reader<'_>, cx: Cx) -> Result<Option<RecordBytes>, WireError> {
        match reader.length(cx.flexible, false)? {
            Some(length) => Ok(Some(RecordBytes::Frame(reader.range(length)?))),
            None => Ok(None),
        }
    }
    fn put(&self, writer: &mut Writer, cx: Cx) -> Result<(), WireError> {
        match self {
            None => writer.length(None, cx.flexible, false),
            Some(RecordBytes::Frame(_)) => {
                return Err("records that were decoded cannot be written again".into());
            }
            Some(RecordBytes::Parts(parts)) => {
                writer.length(Some(parts.iter().map(Part::len).sum()), cx.flexible, false);
                parts.iter().for_each(|part| writer.splice(part.clone()));
            }
        }
        Ok(())
    }
}
