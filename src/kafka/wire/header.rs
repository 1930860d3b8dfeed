//! Request and response headers.

use super::Message;
use super::api::ApiKey;
use super::error::WireError;
use super::field::{Cx, Field};
use super::reader::Reader;
use super::writer::Writer;
use callboard_actors::ports::Part;

/// A request's header, as far as an unknown version lets it be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestHeader {
    /// The API, known or not.
    pub api_key: i16,
    /// The version, known or not.
    pub api_version: i16,
    pub correlation_id: i32,
    /// The name that the client gives itself.
    pub client_id: Option<String>,
}

const PLAIN: Cx = Cx { version: 0, flexible: false, nullable: true };

impl RequestHeader {
    /// Reads a header; of an unknown API or version only the first three fields.
    pub fn decode(reader: &mut Reader<'_>) -> Result<RequestHeader, WireError> {
        let named = |e: WireError| e.within("RequestHeader", "fields");
        let api_key = i16::take(reader, PLAIN).map_err(named)?;
        let api_version = i16::take(reader, PLAIN).map_err(named)?;
        let correlation_id = i32::take(reader, PLAIN).map_err(named)?;
        let mut header = RequestHeader { api_key, api_version, correlation_id, client_id: None };
        let Some(api) = ApiKey::of(api_key).filter(|api| api.versions().contains(&api_version)) else {
            return Ok(header);
        };
        // The client id keeps its old encoding in every version.
        header.client_id = Field::take(reader, PLAIN).map_err(named)?;
        if api.flexible(api_version) {
            for _ in 0..reader.uvarint()? {
                let (_, length) = (reader.uvarint()?, reader.uvarint()? as usize);
                reader.take(length)?;
            }
        }
        Ok(header)
    }
}

/// Begins a response with its header.
#[must_use]
pub fn response_header(api: ApiKey, version: i16, correlation_id: i32) -> Writer {
    let mut writer = Writer::new();
    writer.put(&correlation_id.to_be_bytes());
    if api.flexible_response_header(version) {
        writer.uvarint(0);
    }
    writer
}

/// A whole response frame.
pub fn frame_response(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    body: &impl Message,
) -> Result<Vec<Part>, WireError> {
    let mut writer = response_header(api, version, correlation_id);
    body.encode(&mut writer, version)?;
    Ok(writer.frame())
}

/// A whole request frame, for tests and our own tools.
pub fn frame_request(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    body: &impl Message,
) -> Result<Vec<Part>, WireError> {
    let mut writer = Writer::new();
    writer.put(&api.key().to_be_bytes());
    writer.put(&version.to_be_bytes());
    writer.put(&correlation_id.to_be_bytes());
    client_id.map(str::to_owned).put(&mut writer, PLAIN)?;
    if api.flexible(version) {
        writer.uvarint(0);
    }
    body.encode(&mut writer, version)?;
    Ok(writer.frame())
}
