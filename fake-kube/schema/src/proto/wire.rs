//! The protobuf wire format below messages: tags, varints, lengths. Errors are worded as by gogo/protobuf's generated code.

pub(super) const EOF: &str = "unexpected EOF";
const OVERFLOW: &str = "proto: integer overflow";
const NEGATIVE: &str = "proto: negative length found during unmarshaling";
/// Nested groups nobody asked for; Go has no bound, but a stack that grows.
const GROUPS_MAX: usize = 100;

/// What a tag announced.
pub(super) enum Content<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// Fixed32 and groups: no field of ours has them.
    Other,
}

pub(super) struct Field<'a> {
    pub(super) number: u32,
    wire: u64,
    pub(super) content: Content<'a>,
}

impl<'a> Field<'a> {
    pub(super) fn mismatch(&self, name: &str) -> String {
        format!("proto: wrong wireType = {} for field {name}", self.wire)
    }

    pub(super) fn bytes(&self, name: &str) -> Result<&'a [u8], String> {
        match self.content {
            Content::Bytes(b) => Ok(b),
            _ => Err(self.mismatch(name)),
        }
    }
}

/// Calls `each` for every field of a message in order.
pub(super) fn fields<'a>(
    mut rest: &'a [u8],
    message: &str,
    mut each: impl FnMut(&Field<'a>) -> Result<(), String>,
) -> Result<(), String> {
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let wire = tag & 7;
        // As `int32(tag >> 3)` of the generated code: too large a number is a negative one.
        let number = (tag >> 3) as u32;
        if wire == 4 {
            return Err(format!("proto: {message}: wiretype end group for non-group"));
        }
        if number == 0 || number > i32::MAX as u32 {
            let shown = number as i32;
            return Err(format!("proto: {message}: illegal tag {shown} (wire type {tag})"));
        }
        let content = match wire {
            0 => Content::Varint(varint(&mut rest)?),
            1 => Content::Fixed64(u64::from_le_bytes(take(&mut rest, 8)?.try_into().unwrap_or_default())),
            2 => Content::Bytes(delimited(&mut rest)?),
            3 => {
                skip_group(&mut rest)?;
                Content::Other
            }
            5 => {
                take(&mut rest, 4)?;
                Content::Other
            }
            other => return Err(format!("proto: illegal wireType {other}")),
        };
        each(&Field { number, wire, content })?;
    }
    Ok(())
}

/// The varints of a packed list.
pub(super) fn packed(mut bytes: &[u8], mut each: impl FnMut(u64)) -> Result<(), String> {
    while !bytes.is_empty() {
        each(varint(&mut bytes)?);
    }
    Ok(())
}

fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut out = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, more) = rest.split_first().ok_or(EOF)?;
        *rest = more;
        out |= u64::from(first & 0x7f) << shift;
        if *first < 0x80 {
            return Ok(out);
        }
    }
    Err(OVERFLOW.to_owned())
}

fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = varint(rest)?;
    match i64::try_from(length) {
        Ok(_) => take(rest, usize::try_from(length).unwrap_or(usize::MAX)),
        Err(_) => Err(NEGATIVE.to_owned()),
    }
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], String> {
    let (head, more) = rest.split_at_checked(n).ok_or(EOF)?;
    *rest = more;
    Ok(head)
}

fn skip_group(rest: &mut &[u8]) -> Result<(), String> {
    let mut depth = 1;
    while depth > 0 {
        match varint(rest)? & 7 {
            0 => drop(varint(rest)?),
            1 => drop(take(rest, 8)?),
            2 => drop(delimited(rest)?),
            3 if depth < GROUPS_MAX => depth += 1,
            4 => depth -= 1,
            5 => drop(take(rest, 4)?),
            other => return Err(format!("proto: illegal wireType {other}")),
        }
    }
    Ok(())
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_tag(out: &mut Vec<u8>, number: u32, wire: u64) {
    put_varint(out, u64::from(number) << 3 | wire);
}

pub(super) fn put_int(out: &mut Vec<u8>, number: u32, value: i64) {
    put_tag(out, number, 0);
    put_varint(out, value.cast_unsigned());
}

pub(super) fn put_double(out: &mut Vec<u8>, number: u32, value: f64) {
    put_tag(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
