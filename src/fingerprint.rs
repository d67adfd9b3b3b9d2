//! A hash that is the same in every VM; `hashbrown`'s own is not.

/// [FNV-1a](https://datatracker.ietf.org/doc/html/rfc9923) of 64 bits.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
