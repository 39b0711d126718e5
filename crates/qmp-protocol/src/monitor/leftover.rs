//! Which of several unexpected arguments QEMU complains about.
//!
//! QEMU puts the names of the arguments into a hash table of GLib's, takes out those the command reads,
//! and names the first that is left as the table is walked. So the answer depends on how that table
//! places its entries; seen with GLib 2.74, which QEMU 7.2 and 10.0 of Debian 12 use.
//!
//! The table: a power of two of slots, 8 at first. A name's place is its hash times 11, modulo the
//! greatest prime below the number of slots; if that is taken, the places 1, 3, 6, 10, ... further on,
//! round the end. What is taken out leaves a mark, so nothing else moves; only growing and shrinking
//! places everything anew.

/// The name that is first in the table once `taken` are out of it; `names` in the order in which QEMU's
/// own dictionary gives them.
pub(crate) fn first_left<'a>(names: &[&'a str], taken: &[&str]) -> Option<&'a str> {
    let mut table = Table::default();
    for name in names {
        table.insert(name);
    }
    for name in taken {
        table.remove(name);
    }
    table.slots.iter().find_map(|slot| match slot {
        Slot::Taken(entry) => Some(entry.name),
        _ => None,
    })
}

struct Table<'a> {
    slots: Vec<Slot<'a>>,
    /// Slots with a name.
    names: usize,
    /// Slots with a name or a mark.
    used: usize,
}

#[derive(Clone, Copy)]
enum Slot<'a> {
    Free,
    /// A name was here.
    Mark,
    Taken(Entry<'a>),
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    hash: u32,
    name: &'a str,
}

/// The fewest slots.
const SLOTS_MIN: usize = 8;

impl Default for Table<'_> {
    fn default() -> Self {
        Self {
            slots: vec![Slot::Free; SLOTS_MIN],
            names: 0,
            used: 0,
        }
    }
}

impl<'a> Table<'a> {
    /// Adds a name that is not in the table, nor was.
    fn insert(&mut self, name: &'a str) {
        let hash = hash(name);
        let at = self
            .places(hash)
            .find(|at| matches!(self.slots.get(*at), Some(Slot::Free)));
        if let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) {
            *slot = Slot::Taken(Entry { hash, name });
            self.names += 1;
            self.used += 1;
        }
        self.resize();
    }

    fn remove(&mut self, name: &str) {
        let found = self
            .slots
            .iter_mut()
            .find(|slot| matches!(slot, Slot::Taken(entry) if entry.name == name));
        if let Some(slot) = found {
            *slot = Slot::Mark;
            self.names -= 1;
            self.resize();
        }
    }

    /// Grows when (almost) no slot is free, shrinks when less than a quarter has names.
    fn resize(&mut self) {
        let slots = self.slots.len();
        let sparse = slots > self.names * 4 && slots > SLOTS_MIN;
        let full = slots <= self.used + self.used / 16;
        if !sparse && !full {
            return;
        }
        // A third more than needed, and then the next power of two.
        let wanted = self.names + self.names / 3;
        let slots = (wanted + 1).next_power_of_two().max(SLOTS_MIN);
        self.place_anew(slots);
    }

    /// Slot by slot, each name goes to its first place that no other was newly put to; one found there
    /// that still waits for its turn has its turn at once.
    fn place_anew(&mut self, slots: usize) {
        let mut waiting = std::mem::replace(&mut self.slots, vec![Slot::Free; slots]);
        for turn in 0..waiting.len() {
            let mut next = waiting
                .get_mut(turn)
                .map(|slot| std::mem::replace(slot, Slot::Free));
            while let Some(Slot::Taken(entry)) = next {
                let at = self
                    .places(entry.hash)
                    .find(|at| matches!(self.slots.get(*at), Some(Slot::Free)));
                let Some(at) = at else { break };
                if let Some(slot) = self.slots.get_mut(at) {
                    *slot = Slot::Taken(entry);
                }
                next = waiting
                    .get_mut(at)
                    .map(|slot| std::mem::replace(slot, Slot::Free));
            }
        }
        self.used = self.names;
    }

    /// The places of a hash, in the order in which they are tried.
    fn places(&self, hash: u32) -> impl Iterator<Item = usize> + use<> {
        let slots = self.slots.len();
        let first = usize::try_from(hash.wrapping_mul(11)).unwrap_or(0) % prime_below(slots);
        (0..slots).scan(first, move |at, step| {
            *at = (*at + step) % slots;
            Some(*at)
        })
    }
}

/// The greatest prime below a power of two.
fn prime_below(power: usize) -> usize {
    let is_prime = |number: &usize| {
        let mut divisors = (2..).take_while(|divisor| divisor * divisor <= *number);
        divisors.all(|divisor| !number.is_multiple_of(divisor))
    };
    (2..power).rev().find(is_prime).unwrap_or(1)
}

/// GLib's hash of a text: times 33, plus each byte with its sign. QEMU has U+0000 as the bytes C0 80.
fn hash(name: &str) -> u32 {
    let bytes = name.bytes().flat_map(|byte| match byte {
        0 => [0xC0, 0x80].into_iter().take(2),
        _ => [byte, 0].into_iter().take(1),
    });
    let hash = bytes.fold(5381_u32, |hash, byte| {
        let signed = i32::from(byte.cast_signed());
        hash.wrapping_mul(33).wrapping_add_signed(signed)
    });
    // 0 and 1 stand for a free slot and a mark.
    hash.max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of QEMU 7.2 and 10.0.
    #[test]
    fn as_qemu_answers() {
        assert_eq!(
            first_left(&["a", "z", "name", "up"], &["name", "up"]),
            Some("z")
        );
        assert_eq!(first_left(&["", "a", "b", "c", "é"], &[]), Some("b"));
        assert_eq!(first_left(&["é", "\0"], &[]), Some("é"));
        assert_eq!(first_left(&["a"], &["a"]), None);
        assert_eq!(first_left(&[], &["a"]), None);
    }

    #[test]
    fn any_number_of_names_is_held_and_found() {
        let names: Vec<String> = (0..300).map(|number| format!("name-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for count in 0..names.len() {
            let (taken, left) = names.split_at(count);
            assert!(left.contains(&first_left(&names, taken).unwrap_or_default()));
        }
        assert_eq!(first_left(&names, &names), None);
    }

    #[test]
    fn primes() {
        assert_eq!(
            [8, 16, 32, 64, 1024].map(prime_below),
            [7, 13, 31, 61, 1021]
        );
    }
}
