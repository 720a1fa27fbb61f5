//! RLE Lossless (PS3.5 annex G): one byte plane after the other, each in runs.

/// Bytes of the header of a frame: the number of segments, and where up to 15 begin.
const HEADER_BYTES: usize = 64;

/// A frame of samples of `planes` bytes each, little endian, as RLE Lossless has it: the most significant bytes first.
pub(super) fn encode(frame: &[u8], planes: usize, columns: usize) -> Vec<u8> {
    let mut header = vec![u32::try_from(planes).expect("15 at the most")];
    let mut segments = Vec::new();
    for plane in (0..planes).rev() {
        header.push(u32::try_from(HEADER_BYTES + segments.len()).expect("a small frame"));
        let bytes: Vec<u8> = frame.iter().skip(plane).step_by(planes).copied().collect();
        bytes.chunks(columns).for_each(|row| pack(row, &mut segments));
        if segments.len() % 2 == 1 {
            segments.push(0);
        }
    }
    header.resize(HEADER_BYTES / 4, 0);
    [header.iter().flat_map(|field| field.to_le_bytes()).collect(), segments].concat()
}

/// One row as runs and literals; none goes over the end of a row (G.3.1).
fn pack(mut row: &[u8], out: &mut Vec<u8>) {
    while let Some(&first) = row.first() {
        let alike = row.iter().take(128).take_while(|byte| **byte == first).count();
        if alike > 1 {
            out.extend([(257 - alike).to_le_bytes()[0], first]);
            row = &row[alike..];
            continue;
        }
        let repeats = |pair: &[u8]| pair[0] == pair[1];
        let length = row.windows(2).position(repeats).unwrap_or(row.len()).clamp(1, 128);
        out.push((length - 1).to_le_bytes()[0]);
        out.extend(&row[..length]);
        row = &row[length..];
    }
}

/// The frame again; nothing where it is damaged.
pub(super) fn decode(encoded: &[u8], planes: usize, samples: usize) -> Option<Vec<u8>> {
    let field = |index: usize| {
        let bytes = encoded.get(index * 4..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    if field(0)? != planes {
        return None;
    }
    let mut frame = vec![0; planes * samples];
    for segment in 0..planes {
        let plane = unpack(encoded.get(field(segment + 1)?..)?, samples)?;
        for (at, byte) in plane.into_iter().enumerate() {
            *frame.get_mut(at * planes + (planes - 1 - segment))? = byte;
        }
    }
    Some(frame)
}

fn unpack(mut packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut plane = Vec::with_capacity(length);
    while plane.len() < length {
        let (&control, rest) = packed.split_first()?;
        packed = match usize::from(control) {
            literal @ 0..=127 => {
                plane.extend(rest.get(..=literal)?);
                &rest[literal + 1..]
            }
            128 => rest,
            run => {
                plane.resize(plane.len() + 257 - run, *rest.first()?);
                &rest[1..]
            }
        };
    }
    (plane.len() == length).then_some(plane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let columns = 300;
        let long_run = vec![7; columns];
        let no_run: Vec<u8> = (0..columns).map(|at| (at % 251).to_le_bytes()[0]).collect();
        let mixed: Vec<u8> = (0..columns).map(|at| (at / 3 % 5).to_le_bytes()[0]).collect();
        let frame = [long_run, no_run, mixed, vec![1; columns]].concat();
        for planes in [1, 2] {
            let encoded = encode(&frame, planes, columns);
            assert_eq!(decode(&encoded, planes, frame.len() / planes).as_ref(), Some(&frame));
            assert_eq!(decode(&encoded[..encoded.len() / 2], planes, frame.len() / planes), None);
        }
    }

    #[test]
    fn the_standards_words_are_read() {
        // PS3.5 G.3.2: a literal of 3, a run of 4, nothing, a literal of 1.
        assert_eq!(unpack(&[2, 1, 2, 3, 253, 9, 128, 0, 5], 8), Some(vec![1, 2, 3, 9, 9, 9, 9, 5]));
        assert_eq!(unpack(&[2, 1, 2], 3), None);
    }
}
