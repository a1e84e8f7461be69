//! Which register each vector and mask stands in, by linear scan (Poletto and Sarkar, 1999).

use super::program::{Kind, Op};

/// Where a vector stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// This vector register.
    Register(u8),
    /// This slot of the frame.
    Slot(usize),
}

/// The homes of a nest's vectors and masks.
pub struct Registers {
    pub vectors: Vec<Home>,
    pub masks: Vec<u8>,
    /// How many slots there are.
    pub slots: usize,
}

/// From the first operation that makes a value to the last that reads it.
#[derive(Clone, Copy)]
struct Interval {
    value: usize,
    from: usize,
    to: usize,
}

/// Registers 0 to `vectors - 1` for vectors, those of `masks` for masks; `None` where there are too few for
/// the masks.
pub fn choose(ops: &[Op], vectors: u8, masks: std::ops::Range<u8>) -> Option<Registers> {
    let of_vectors = intervals(ops, |op| op.vector, |op| op.vectors().collect());
    let of_masks = intervals(ops, |op| op.mask, |op| op.lane_masks().collect());
    let mut homes = vec![Home::Slot(usize::MAX); count(&of_vectors)];
    let mut slots = 0;
    let mut free: Vec<u8> = (0..vectors).rev().collect();
    let mut live: Vec<(Interval, u8)> = Vec::new();
    for interval in &of_vectors {
        release(&mut live, &mut free, interval.from);
        let register = match preferred(ops, interval, &homes, &free).or_else(|| free.last().copied()) {
            Some(register) => {
                free.retain(|other| *other != register);
                register
            }
            None => {
                // Who is read last gives its register away, for all its life.
                let latest = (0..live.len()).max_by_key(|at| live[*at].0.to)?;
                slots += 1;
                if live[latest].0.to <= interval.to {
                    homes[interval.value] = Home::Slot(slots - 1);
                    continue;
                }
                let (other, register) = live.swap_remove(latest);
                homes[other.value] = Home::Slot(slots - 1);
                register
            }
        };
        homes[interval.value] = Home::Register(register);
        live.push((*interval, register));
    }
    let mut mask_homes = vec![0; count(&of_masks)];
    let mut free: Vec<u8> = masks.rev().collect();
    let mut live: Vec<(Interval, u8)> = Vec::new();
    for interval in &of_masks {
        release(&mut live, &mut free, interval.from);
        mask_homes[interval.value] = free.pop()?;
        live.push((*interval, mask_homes[interval.value]));
    }
    Some(Registers { vectors: homes, masks: mask_homes, slots })
}

fn count(intervals: &[Interval]) -> usize {
    intervals.iter().map(|interval| interval.value + 1).max().unwrap_or(0)
}

fn release(live: &mut Vec<(Interval, u8)>, free: &mut Vec<u8>, now: usize) {
    live.retain(|(interval, register)| {
        let goes_on = interval.to > now;
        if !goes_on {
            free.push(*register);
        }
        goes_on
    });
}

/// The register of an operand that is read for the last time where the value is made: so a multiply-add and a
/// selection need no copy. The operand that is added comes first.
fn preferred(ops: &[Op], interval: &Interval, homes: &[Home], free: &[u8]) -> Option<u8> {
    let homes = ops[interval.from].vectors().rev().map(|vector| homes[vector as usize]);
    let mut registers = homes.filter_map(|home| match home {
        Home::Register(register) => Some(register),
        Home::Slot(_) => None,
    });
    registers.find(|register| free.contains(register))
}

/// The intervals in the order of their beginnings. A value that is made before a loop and read within it lives
/// to the end of the loop.
fn intervals(ops: &[Op], made: impl Fn(&Op) -> Option<u32>, read: impl Fn(&Op) -> Vec<u32>) -> Vec<Interval> {
    let mut known: Vec<Option<Interval>> = Vec::new();
    let mut loops: Vec<(usize, usize)> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        for value in made(op).into_iter().chain(read(op)) {
            let value = value as usize;
            if known.len() <= value {
                known.resize(value + 1, None);
            }
            let interval = known[value].get_or_insert(Interval { value, from: at, to: at });
            interval.to = at;
        }
        match op.kind {
            Kind::Walk(_) | Kind::Block(_) => open.push(at),
            Kind::WalkEnd(_) | Kind::BlockEnd(_) => loops.extend(open.pop().map(|from| (from, at))),
            _ => {}
        }
    }
    let mut intervals: Vec<Interval> = known.into_iter().flatten().collect();
    for interval in &mut intervals {
        // Inner loops stand before outer ones, so the end only grows.
        for (from, to) in &loops {
            if interval.from < *from && (*from..=*to).contains(&interval.to) {
                interval.to = *to;
            }
        }
    }
    intervals.sort_by_key(|interval| interval.from);
    intervals
}
