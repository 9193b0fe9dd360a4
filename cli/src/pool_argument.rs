//! How a pool is named on the command line: handles are bytes, people type text.

use params::PoolHandle;

/// Reads `echo`, `a\x00b` (escapes as the tables print them) or `hex:6563686f`.
pub(crate) fn parse(text: &str) -> Result<PoolHandle, String> {
    let handle = match text.strip_prefix("hex:") {
        Some(digits) => {
            hex::decode(digits).map(PoolHandle::new).map_err(|error| format!("{text:?}: {error}"))
        }
        None => parse_text(text),
    }?;
    // No registrar has such a pool (ambiguity A-05).
    if handle.as_bytes().is_empty() { Err("a pool handle has at least one byte".into()) } else { Ok(handle) }
}

fn parse_text(text: &str) -> Result<PoolHandle, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (byte, length) = unescape(escape).ok_or_else(|| {
            format!("{text:?}: a backslash must be followed by xNN (two hex digits) or by another backslash")
        })?;
        bytes.push(byte);
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(PoolHandle::new(bytes))
}

/// The byte that an escape stands for, without its backslash, and how long the escape is.
fn unescape(escape: &str) -> Option<(u8, usize)> {
    let byte = match escape.chars().next()? {
        'x' => return Some((u8::from_str_radix(escape.get(1..3)?, 16).ok()?, 3)),
        't' => b'\t',
        'r' => b'\r',
        'n' => b'\n',
        quoted @ ('\\' | '\'' | '"') => quoted as u8,
        _ => return None,
    };
    Some((byte, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tables_print_can_be_typed() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let handle = PoolHandle::new(every_byte);
        assert_eq!(parse(&handle.to_string()), Ok(handle));
    }

    #[test]
    fn text_is_text_and_hex_is_hex() {
        assert_eq!(parse("käse"), Ok(PoolHandle::from("käse")));
        assert_eq!(parse("hex:00ff"), Ok(PoolHandle::new([0, 255])));
        assert_eq!(parse(r"\x68ex:00"), Ok(PoolHandle::from("hex:00")), "a handle that looks like hex");
        for wrong in ["", "hex:", "hex:0", "hex:zz", r"a\", r"\x1", r"\q", r"\xé0"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
