//! Generators that everybody knows: LCG, MT19937, RC4, AES-256 in counter mode, the operating system.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::Source;

/// The example of the C standard: 1103515245 and 12345 modulo 2^31, of which bits 16 to 23 are given.
pub(super) struct Lcg(u32);

impl Lcg {
    pub(super) fn new(seed: u32) -> Self {
        Self(seed)
    }
}

impl Source for Lcg {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
            *byte = (self.0 >> 16) as u8;
        }
    }
}

const WORDS: usize = 624;

/// MT19937 of Matsumoto and Nishimura, its words lower byte first.
pub(super) struct MersenneTwister {
    state: [u32; WORDS],
    at: usize,
}

impl MersenneTwister {
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [seed; WORDS];
        for i in 1..WORDS {
            let previous = state[i - 1];
            state[i] = (previous ^ (previous >> 30)).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, at: WORDS }
    }

    fn twist(&mut self) {
        for i in 0..WORDS {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % WORDS] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + 397) % WORDS] ^ (y >> 1) ^ odd;
        }
        self.at = 0;
    }

    fn next_word(&mut self) -> u32 {
        if self.at == WORDS {
            self.twist();
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }
}

impl Source for MersenneTwister {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(4) {
            let word = self.next_word().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// RC4: broken, and here because the papers compare with it.
pub(super) struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl Rc4 {
    pub(super) fn new(key: &[u8]) -> Self {
        let mut state: [u8; 256] = std::array::from_fn(|i| i as u8);
        let mut j = 0_u8;
        for i in 0..256 {
            j = j.wrapping_add(state[i]).wrapping_add(key[i % key.len()]);
            state.swap(i, usize::from(j));
        }
        Self { state, i: 0, j: 0 }
    }
}

impl Source for Rc4 {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.i = self.i.wrapping_add(1);
            self.j = self.j.wrapping_add(self.state[usize::from(self.i)]);
            self.state.swap(usize::from(self.i), usize::from(self.j));
            let sum = self.state[usize::from(self.i)].wrapping_add(self.state[usize::from(self.j)]);
            *byte = self.state[usize::from(sum)];
        }
    }
}

/// AES-256 in counter mode; each call begins a new block.
pub(super) struct AesCtr {
    key: EncryptingKey,
    block: u128,
}

impl AesCtr {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let key = UnboundCipherKey::new(&AES_256, key).expect("32 bytes are a key of AES-256");
        Self { key: EncryptingKey::ctr(key).expect("AES-256 has a counter mode"), block: 0 }
    }
}

impl Source for AesCtr {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
        let counter = EncryptionContext::Iv128(FixedLength::from(self.block.to_be_bytes()));
        self.key.less_safe_encrypt(bytes, counter).expect("counter mode takes any length");
        self.block += bytes.len().div_ceil(16) as u128;
    }
}

/// Whatever the operating system gives.
pub(super) struct OperatingSystem;

impl Source for OperatingSystem {
    fn fill(&mut self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the operating system has randomness");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twister_is_the_published_one() {
        // The reference program's first output for its default seed, and the C++ standard's 10,000th.
        let mut twister = MersenneTwister::new(5489);
        assert_eq!(twister.next_word(), 3_499_211_612);
        assert_eq!((1..10_000).map(|_| twister.next_word()).last(), Some(4_123_659_995));
    }

    #[test]
    fn rc4_is_the_published_one() {
        // The keystream of "Key" that every description of RC4 prints.
        let mut stream = [0; 10];
        Rc4::new(b"Key").fill(&mut stream);
        assert_eq!(stream, [0xeb, 0x9f, 0x77, 0x81, 0xb7, 0x34, 0xca, 0x72, 0xa7, 0x19]);
    }

    #[test]
    fn counter_mode_encrypts_its_counter() {
        // FIPS 197 C.3: AES-256 of 00112233...; and of block 0 here through the all-zero key, SP 800-38A's GFSbox start.
        let mut source = AesCtr::new(&[0; 32]);
        let mut first = [0; 16];
        source.fill(&mut first);
        assert_eq!(first[..4], [0xdc, 0x95, 0xc0, 0x78]);
        let mut two = [0; 32];
        AesCtr::new(&[0; 32]).fill(&mut two);
        source.fill(&mut first);
        assert_eq!(two[16..], first);
    }

    #[test]
    fn the_lcg_is_the_one_of_the_c_standard() {
        // x1 = 1103515245 + 12345 = 1103527590 from seed 1; its bits 16 to 23 are 0xc6.
        let mut bytes = [0; 1];
        Lcg::new(1).fill(&mut bytes);
        assert_eq!(bytes, [(1_103_527_590_u32 >> 16) as u8]);
    }
}
