//! Slots dealt out to workers who help one another.
//!
//! A worker takes its own slots in order, so that it finds in its caches what it left there; one who has no more takes
//! the last slot of another. Cores are seldom equally fast: a shared machine may give a core's other half to somebody
//! else, for a moment or for minutes.

use std::sync::atomic::{AtomicU64, Ordering};

/// The slots of a stretch, dealt out by number: worker `w` has `w`, `w + workers`, ..
pub struct Deal {
    hands: Vec<Hand>,
}

/// What is left of a worker's slots, counted from 0: the next in the lower half, the end in the upper. One to a line
/// of memory, since each is written by its worker all the time and by others hardly ever.
#[derive(Default)]
#[repr(align(64))]
struct Hand(AtomicU64);

impl Hand {
    fn put(&self, slots: usize) {
        self.0.store((slots as u64) << 32, Ordering::Relaxed);
    }

    /// The first slot left, or the last.
    fn take(&self, first: bool) -> Option<usize> {
        let rest = |hand: u64| {
            let (next, end) = (hand as u32, (hand >> 32) as u32);
            (next < end).then_some((next, end))
        };
        let less = |hand: u64| match (rest(hand)?, first) {
            ((next, end), true) => Some(u64::from(end) << 32 | u64::from(next + 1)),
            ((next, end), false) => Some(u64::from(end - 1) << 32 | u64::from(next)),
        };
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        rest(before).map(|(next, end)| if first { next } else { end - 1 } as usize)
    }
}

impl Deal {
    /// For this many workers; nobody has anything yet.
    pub fn new(workers: usize) -> Deal {
        Deal { hands: (0..workers).map(|_| Hand::default()).collect() }
    }

    /// Deals out the slots `0..count`. Nobody may take one meanwhile, and what comes after must be ordered behind it.
    pub fn put(&self, count: usize) {
        let workers = self.hands.len();
        for (worker, hand) in self.hands.iter().enumerate() {
            hand.put(count.saturating_sub(worker).div_ceil(workers));
        }
    }

    /// The next slot for a worker: its own first, then another's.
    pub fn take(&self, worker: usize) -> Option<usize> {
        let workers = self.hands.len();
        let slot = |distance: usize| {
            let owner = (worker + distance) % workers;
            Some(owner + workers * self.hands[owner].take(distance == 0)?)
        };
        (0..workers).find_map(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_slots_come_first_and_in_order_then_the_last_of_others() {
        let deal = Deal::new(2);
        deal.put(7);
        let taken: Vec<usize> = std::iter::from_fn(|| deal.take(1)).collect();
        assert_eq!(taken, [1, 3, 5, 6, 4, 2, 0]);
        assert_eq!(deal.take(0), None);
        deal.put(1);
        assert_eq!((deal.take(1), deal.take(1), deal.take(0)), (Some(0), None, None));
    }

    #[test]
    fn every_slot_is_taken_once() {
        for (workers, count) in [(1, 5), (2, 8), (3, 8), (8, 5), (4, 1000)] {
            let deal = Deal::new(workers);
            deal.put(count);
            let take = |worker: usize| std::iter::from_fn(|| deal.take(worker)).collect::<Vec<usize>>();
            let mut taken: Vec<usize> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || take(worker))).collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
            });
            taken.sort_unstable();
            assert_eq!(taken, (0..count).collect::<Vec<_>>(), "{count} slots, {workers} workers");
        }
    }
}
