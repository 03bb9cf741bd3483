//! Random values of a seed. Each value has a seed of its own, so that shrinking one does not change the others.

#![allow(clippy::cast_possible_truncation, reason = "any bits of a random number are random")]

pub struct SeededRandom(u64);

impl SeededRandom {
    pub fn new(seeds: &[u64]) -> Self {
        let mut random = Self(0);
        for seed in seeds {
            random.0 = random.number() ^ seed;
        }
        random
    }

    /// Any number (SplitMix64).
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }

    /// Bytes of any value, those that mean something in a text file more often.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let byte = |_| if self.once_in(3) { self.one_of(b"\\\t\n\r\0N'\",\x1a\xff ") } else { self.number() as u8 };
        (0..count).map(byte).collect()
    }

    /// A double of any bits, in any of its texts.
    pub fn double(&mut self) -> f64 {
        const EDGES: [f64; 9] =
            [0.0, -0.0, 5e-324, -5e-324, 2.225_073_858_507_201e-308, f64::MIN_POSITIVE, f64::MAX, f64::MIN, 0.1];
        match self.below(4) {
            0 => self.one_of(&EDGES),
            1 => f64::from(self.number() as i32) / 1000.0,
            // Subnormal.
            2 if self.once_in(2) => f64::from_bits(self.number() >> 12),
            _ => Some(f64::from_bits(self.number())).filter(|number| number.is_finite()).unwrap_or(1.0 / 3.0),
        }
    }

    pub fn float(&mut self) -> f32 {
        const EDGES: [f32; 8] = [0.0, -0.0, 1e-45, -1e-45, 1.175_494_2e-38, f32::MIN_POSITIVE, f32::MAX, 16_777_217.0];
        match self.below(4) {
            0 => self.one_of(&EDGES),
            1 => f32::from(self.number() as i16) / 1000.0,
            _ => Some(f32::from_bits(self.number() as u32)).filter(|number| number.is_finite()).unwrap_or(1.0 / 3.0),
        }
    }

    /// Text of at most so many characters.
    pub fn text(&mut self, most: usize) -> String {
        const WHOLE: [&str; 22] = [
            "",
            " ",
            "a",
            "A",
            "a ",
            "\\N",
            "\\\\N",
            "\\",
            "\\\\",
            "\t",
            "\n",
            "\r\n",
            "\0",
            "NULL",
            "'",
            "\"",
            "ß",
            "ss",
            "\u{1f600}",
            "ソ表能",
            "功許蓋",
            "誠峰",
        ];
        const SIGNS: [char; 30] = [
            'a',
            'A',
            'b',
            'z',
            'Z',
            'ä',
            'Ä',
            'é',
            'ß',
            ' ',
            '_',
            '%',
            '\\',
            '\t',
            '\n',
            '\r',
            '\0',
            '\'',
            '"',
            '`',
            ',',
            ';',
            '0',
            '9',
            '表',
            'я',
            'Я',
            '\u{1f600}',
            '\u{10ffff}',
            '\u{301}',
        ];
        if self.once_in(3) {
            return self.one_of(&WHOLE).chars().take(most).collect();
        }
        let length = self.below(most + 1);
        (0..length).map(|_| self.one_of(&SIGNS)).collect()
    }
}
