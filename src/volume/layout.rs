//! Where things are in a stored file: arithmetic only. FORMAT.md, section 4.

/// Bytes of a page, and of a chunk.
pub const PAGE: u64 = 4096;
/// Chunks in a group.
pub const GROUP_CHUNKS: u64 = 64;
/// Plain bytes in a group.
pub const GROUP_BYTES: u64 = GROUP_CHUNKS * PAGE;
/// Stored bytes of a group: its entry page and its data pages.
pub const GROUP_STRIDE: u64 = (GROUP_CHUNKS + 1) * PAGE;
/// The longest plain file: its stored size still fits a signed 64-bit offset.
pub const MAX_PLAIN: u64 = (i64::MAX as u64 / GROUP_STRIDE - 1) * GROUP_BYTES;

/// The layout of one volume: its slot size S.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    slot: u64,
}

impl Layout {
    /// A layout with slots of 4 KiB << `class`; `None` above class 3.
    pub fn new(class: u8) -> Option<Self> {
        (class <= 3).then(|| Self {
            slot: PAGE << class,
        })
    }

    /// S, in bytes.
    pub fn slot(self) -> u64 {
        self.slot
    }

    /// The slot class.
    pub fn class(self) -> u8 {
        (self.slot / PAGE).trailing_zeros() as u8
    }

    /// Stored offset of the first entry page.
    pub fn body(self) -> u64 {
        2 * self.slot
    }

    /// Stored offset of the entry page of group `group`.
    pub fn entry_page(self, group: u64) -> u64 {
        self.body() + group * GROUP_STRIDE
    }

    /// Stored offset of the data page of chunk `index`.
    pub fn data_page(self, index: u64) -> u64 {
        self.entry_page(group_of(index)) + (1 + index % GROUP_CHUNKS) * PAGE
    }

    /// The stored size of a file of `plain` bytes.
    pub fn stored_len(self, plain: u64) -> u64 {
        match chunks(plain).checked_sub(1) {
            None => self.body() + PAGE,
            Some(last) => self.data_page(last) + PAGE + plain % PAGE,
        }
    }

    /// The plain size of a file of `stored` bytes. Sizes that no file has (a crash can leave some)
    /// count as the largest plain size that fits.
    pub fn plain_len(self, stored: u64) -> u64 {
        let Some(body) = stored.checked_sub(self.body()) else {
            return 0;
        };
        let rest = body % PAGE;
        let pages = body / PAGE;
        let chunks = GROUP_CHUNKS * (pages / (GROUP_CHUNKS + 1))
            + (pages % (GROUP_CHUNKS + 1)).saturating_sub(1);
        if rest == 0 || chunks == 0 {
            chunks * PAGE
        } else {
            (chunks - 1) * PAGE + rest
        }
    }

    /// The group in whose stored range `offset` lies.
    pub fn group_at(self, offset: u64) -> u64 {
        offset.saturating_sub(self.body()) / GROUP_STRIDE
    }
}

/// The number of chunks of a file of `plain` bytes.
pub fn chunks(plain: u64) -> u64 {
    plain.div_ceil(PAGE)
}

/// The group of chunk `index`.
pub fn group_of(index: u64) -> u64 {
    index / GROUP_CHUNKS
}

/// The bytes of chunk `index` that lie inside a file of `plain` bytes.
pub fn chunk_len(index: u64, plain: u64) -> usize {
    plain.saturating_sub(index * PAGE).min(PAGE) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_match_the_golden_vectors() {
        let mut seen = 0;
        for line in include_str!("../../tests/vectors/layout.txt").lines() {
            if line.starts_with('#') {
                continue;
            }
            let numbers: Vec<u64> = line
                .split_whitespace()
                .map(|text| text.parse().expect("a number"))
                .collect();
            let layout = Layout::new(numbers[0] as u8).expect("class");
            assert_eq!(layout.stored_len(numbers[1]), numbers[2], "{line}");
            assert_eq!(layout.plain_len(numbers[2]), numbers[1], "{line}");
            seen += 1;
        }
        assert_eq!(seen, 36);
    }

    #[test]
    fn the_length_is_a_bijection_and_monotonic() {
        for class in 0..4 {
            let layout = Layout::new(class).expect("class");
            let near = |n: u64| n.saturating_sub(3)..n + 4;
            for plain in (0..9000)
                .chain(near(GROUP_BYTES))
                .chain(near(2 * GROUP_BYTES))
                .chain(near(1 << 40))
                .chain(near(MAX_PLAIN - 4))
            {
                assert_eq!(layout.plain_len(layout.stored_len(plain)), plain);
            }
        }
    }

    #[test]
    fn any_stored_size_has_a_plain_size_that_fits() {
        let layout = Layout::new(0).expect("class");
        for stored in (0..300_000).step_by(7) {
            let plain = layout.plain_len(stored);
            assert!(plain == 0 || layout.stored_len(plain) <= stored, "{stored}");
        }
    }

    #[test]
    fn pages_are_where_the_formulas_put_them() {
        let layout = Layout::new(0).expect("class");
        assert_eq!(layout.entry_page(0), 8192);
        assert_eq!(layout.data_page(0), 12_288);
        assert_eq!(layout.data_page(63), 8192 + 64 * 4096);
        assert_eq!(layout.entry_page(1), 8192 + 65 * 4096);
        assert_eq!(layout.data_page(64), 8192 + 66 * 4096);
        assert_eq!(layout.group_at(layout.data_page(64)), 1);
    }
}
