//! Messages of the API as JSON, by their own description: whatever a message has is told, under the names of the proto
//! files, and a field added there needs nothing here.
//!
//! Every field is there, an absent message as `null`; only of a `oneof` and of `optional` fields nothing is told that is
//! not set. Times are RFC 3339, durations seconds (`1.5s`), enums their names, 64-bit numbers strings, as protobuf's own
//! JSON has them.

use prost::{Message, bytes::Buf, encoding};
use prost_types::{
    DescriptorProto, Duration, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    Timestamp,
    field_descriptor_proto::{Label, Type},
};
use zeroize::Zeroizing;

use crate::{cli::Failure, pb};

const PACKAGE: &str = ".countersign.v1.";

/// A message of the API that knows its name.
pub(in crate::cli) trait Answer: Message {
    /// The name in the proto files.
    const NAME: &'static str;
}

macro_rules! answers {
    ($($message:ident)+) => {$(
        impl Answer for pb::$message {
            const NAME: &'static str = stringify!($message);
        }
    )+};
}

answers! {
    AuthorizeResponse ListPermissionsResponse
    IssueTokenResponse RotateTokenResponse RevokeTokenResponse RevokeTokensResponse RevokeLeakedTokensResponse
    GetTokenResponse ListTokensResponse
    CreateWorkspaceResponse GetWorkspaceResponse UpdateWorkspaceResponse ListWorkspacesResponse DeleteWorkspaceResponse
    PutMemberResponse GetMemberResponse SetMemberRoleResponse SetMemberStateResponse RemoveMemberResponse
    ListMembersResponse
    ListEventsResponse Event
}

/// The message on one line. It may hold a secret, so it is wiped.
pub(super) fn line<M: Answer>(message: &M) -> Result<Zeroizing<String>, Failure> {
    let bytes = Zeroizing::new(message.encode_to_vec());
    let set = FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).map_err(|_| broken(M::NAME))?;
    let mut writer = Writer {
        set: &set,
        // Room for all of it at once: growing would leave copies of a secret behind that nothing wipes.
        out: Zeroizing::new(String::with_capacity(16 * 1024 + 8 * bytes.len())),
    };
    writer
        .message(&format!("{PACKAGE}{}", M::NAME), &bytes)
        .ok_or_else(|| broken(M::NAME))?;
    writer.out.push('\n');
    Ok(writer.out)
}

fn broken(name: &str) -> Failure {
    Failure::Failed(format!("cannot write a `{name}` as JSON"))
}

/// A field as it was sent.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

struct Writer<'a> {
    set: &'a FileDescriptorSet,
    out: Zeroizing<String>,
}

impl<'a> Writer<'a> {
    /// Writes a message of this full name. None if the bytes are not one.
    fn message(&mut self, name: &str, bytes: &[u8]) -> Option<()> {
        match name {
            ".google.protobuf.Timestamp" => {
                self.text(&Timestamp::decode(bytes).ok()?.to_string());
                return Some(());
            }
            ".google.protobuf.Duration" => {
                self.text(&Duration::decode(bytes).ok()?.to_string());
                return Some(());
            }
            _ => {}
        }
        let sent = fields(bytes)?;
        self.out.push('{');
        let mut is_first = true;
        for field in &self.describe(name)?.field {
            let number = u32::try_from(field.number()).ok()?;
            let values = sent.iter().filter(|(sent, _)| *sent == number);
            let values: Vec<Wire<'_>> = values.map(|(_, value)| *value).collect();
            // Fields of a oneof, which `optional` ones are too, have no value that could stand for their absence.
            if values.is_empty() && field.oneof_index.is_some() {
                continue;
            }
            if !is_first {
                self.out.push(',');
            }
            is_first = false;
            self.text(field.name());
            self.out.push(':');
            match field.label() {
                Label::Repeated => self.list(field, &values)?,
                _ => self.value(field, values.last().copied())?,
            }
        }
        self.out.push('}');
        Some(())
    }

    fn list(&mut self, field: &FieldDescriptorProto, values: &[Wire<'_>]) -> Option<()> {
        let is_number = !matches!(field.r#type(), Type::String | Type::Bytes | Type::Message);
        let mut unpacked = Vec::new();
        for value in values {
            match value {
                Wire::Bytes(packed) if is_number => {
                    let mut packed = *packed;
                    while packed.has_remaining() {
                        unpacked.push(Wire::Number(encoding::decode_varint(&mut packed).ok()?));
                    }
                }
                value => unpacked.push(*value),
            }
        }
        self.out.push('[');
        for (i, value) in unpacked.into_iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            self.value(field, Some(value))?;
        }
        self.out.push(']');
        Some(())
    }

    fn value(&mut self, field: &FieldDescriptorProto, value: Option<Wire<'_>>) -> Option<()> {
        let number = match value {
            Some(Wire::Number(number)) => number,
            _ => 0,
        };
        match (field.r#type(), value) {
            (Type::Message, None) => self.out.push_str("null"),
            (Type::Message, Some(Wire::Bytes(bytes))) => {
                self.message(field.type_name(), bytes)?;
            }
            (Type::String, None) => self.text(""),
            (Type::String, Some(Wire::Bytes(bytes))) => self.text(str::from_utf8(bytes).ok()?),
            (Type::Bool, _) => self
                .out
                .push_str(if number == 0 { "false" } else { "true" }),
            (Type::Int32 | Type::Uint32, _) => {
                // Negative numbers are sent as the 64-bit ones that they are the end of.
                self.out.push_str(&(number as i64).to_string());
            }
            (Type::Int64, _) => self.text(&(number as i64).to_string()),
            (Type::Uint64, _) => self.text(&number.to_string()),
            (Type::Enum, _) => {
                let number = number as i32;
                let values = &self.describe_enum(field.type_name())?.value;
                match values.iter().find(|value| value.number() == number) {
                    Some(value) => self.text(value.name()),
                    // Of a newer server.
                    None => self.out.push_str(&number.to_string()),
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Writes a string, escaped.
    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\t' => self.out.push_str("\\t"),
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                    self.out.push_str(&format!("\\u{:04x}", u32::from(c)));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn describe(&self, name: &str) -> Option<&'a DescriptorProto> {
        let set = self.set;
        set.file.iter().find_map(|file| {
            let local = local_name(name, file.package())?;
            let is_it = |message: &&DescriptorProto| message.name() == local;
            file.message_type.iter().find(is_it)
        })
    }

    fn describe_enum(&self, name: &str) -> Option<&'a EnumDescriptorProto> {
        let set = self.set;
        set.file.iter().find_map(|file| {
            let local = local_name(name, file.package())?;
            let is_it = |described: &&EnumDescriptorProto| described.name() == local;
            file.enum_type.iter().find(is_it)
        })
    }
}

/// The name inside a package. No message of ours stands in another.
fn local_name<'a>(full: &'a str, package: &str) -> Option<&'a str> {
    full.strip_prefix('.')?
        .strip_prefix(package)?
        .strip_prefix('.')
}

/// The fields of a message, in the order in which they were sent.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u32, Wire<'_>)>> {
    let mut fields = Vec::new();
    while bytes.has_remaining() {
        let (number, kind) = encoding::decode_key(&mut bytes).ok()?;
        let value = match kind {
            encoding::WireType::Varint => Wire::Number(encoding::decode_varint(&mut bytes).ok()?),
            encoding::WireType::LengthDelimited => {
                let length = encoding::decode_varint(&mut bytes).ok()?;
                let (value, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
                bytes = rest;
                Wire::Bytes(value)
            }
            _ => return None,
        };
        fields.push((number, value));
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<M: Answer>(message: &M) -> Value {
        let line = line(message).map(|line| line.to_string());
        serde_json::from_str(line.as_deref().unwrap_or_default()).unwrap_or_default()
    }

    #[test]
    fn absent_fields_are_told_and_times_are_text() {
        let token = pb::Token {
            token_id: "tok_1".to_owned(),
            name: "a \"b\"\n\u{7}é".to_owned(),
            state: pb::TokenState::Revoked.into(),
            created_at: Some(Timestamp {
                seconds: 0,
                nanos: 5_000_000,
            }),
            ..pb::Token::default()
        };
        let page = pb::ListTokensResponse {
            tokens: vec![token],
            ..Default::default()
        };
        let read = read(&page);
        assert_eq!(read["next_page_token"], "");
        let token = &read["tokens"][0];
        assert_eq!(token["name"], "a \"b\"\n\u{7}é");
        assert_eq!(token["state"], "TOKEN_STATE_REVOKED");
        assert_eq!(token["created_at"], "1970-01-01T00:00:00.005Z");
        assert_eq!(token["member_id"], "");
        assert_eq!(token.get("expires_at"), Some(&Value::Null));
    }

    #[test]
    fn of_a_oneof_only_what_is_set_is_told() {
        let event = pb::Event {
            details: Some(pb::event::Details::WorkspaceUpdated(pb::WorkspaceUpdated {
                state: Some(99),
                ..Default::default()
            })),
            ..pb::Event::default()
        };
        let read = read(&event);
        assert_eq!(
            read["workspace_updated"],
            json!({"state": 99, "token_policy": null})
        );
        assert_eq!(read.get("token_issued"), None);
    }
}
