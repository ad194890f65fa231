//! A log-structured store. Each change is a record at the end of a log; an index (a persistent map) says where the newest version of each thing
//! lies; older ones are dead. Segments with little alive are cleaned: what lives in them is appended again. A copy of the store is a snapshot.

use crate::Map;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Records of a segment.
const SEGMENT: usize = 64;

/// Where a record lies.
#[derive(Clone, Copy)]
struct Place {
    segment: u64,
    slot: u32,
}

#[derive(Clone)]
struct Segment<K, V> {
    records: Vec<Option<(K, V)>>,
    live: usize,
}

/// The log and its index.
#[derive(Clone)]
pub struct Store<K: Ord + Clone, V: Clone> {
    index: Map<K, Place>,
    segments: Map<u64, Rc<Segment<K, V>>>,
    next: u64,
    appended: u64,
}

impl<K: Ord + Clone, V: Clone> Default for Store<K, V> {
    fn default() -> Self {
        Store { index: Map::new(), segments: Map::new(), next: 0, appended: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> Store<K, V> {
    /// The newest version of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        let place = self.index.get(key)?;
        self.segments.get(&place.segment)?.records.get(place.slot as usize)?.as_ref().map(|(_, v)| v)
    }

    /// A new version of `key`.
    pub fn put(&mut self, key: K, value: V) {
        self.kill(&key);
        self.append(key, value);
        self.clean();
    }

    /// The newest version of `key`, to be changed where it lies: `None` if there is none, or a copy of the store holds it too.
    pub fn sole(&mut self, key: &K) -> Option<&mut V> {
        let place = *self.index.get(key)?;
        let segment = Rc::get_mut(self.segments.get_mut(&place.segment)?)?;
        segment.records.get_mut(place.slot as usize)?.as_mut().map(|(_, v)| v)
    }

    /// `key` is no more; whether it was.
    pub fn remove(&mut self, key: &K) -> bool {
        let was = self.kill(key);
        self.index.remove_mut(key);
        self.clean();
        was
    }

    /// Keys in a range, in order, with their newest versions.
    pub fn range<'a>(
        &'a self,
        from: &K,
        to: &K,
    ) -> impl DoubleEndedIterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let (from, to) = (from.clone(), to.clone());
        let keys: Vec<&K> = self.index.range(from..=to).map(|(k, _)| k).collect();
        keys.into_iter().filter_map(|k| Some((k, self.get(k)?)))
    }

    /// Records written since the beginning.
    pub fn appended(&self) -> u64 {
        self.appended
    }

    fn append(&mut self, key: K, value: V) {
        let full = self.segments.get(&self.next).is_some_and(|s| s.records.len() >= SEGMENT);
        if full {
            self.next += 1;
        }
        if self.segments.get(&self.next).is_none() {
            self.segments.insert_mut(self.next, Rc::new(Segment { records: Vec::new(), live: 0 }));
        }
        let Some(segment) = self.segments.get_mut(&self.next) else { return };
        let segment = Rc::make_mut(segment);
        let slot = segment.records.len() as u32;
        segment.records.push(Some((key.clone(), value)));
        segment.live += 1;
        self.appended += 1;
        self.index.insert_mut(key, Place { segment: self.next, slot });
    }

    /// The version that the index names dies.
    fn kill(&mut self, key: &K) -> bool {
        let Some(&place) = self.index.get(key) else { return false };
        let Some(segment) = self.segments.get_mut(&place.segment) else { return false };
        let segment = Rc::make_mut(segment);
        if let Some(record) = segment.records.get_mut(place.slot as usize) {
            *record = None;
        }
        segment.live -= 1;
        if segment.live == 0 && place.segment != self.next {
            self.segments.remove_mut(&place.segment);
        }
        true
    }

    /// When less than a half of all records lives, the oldest segment's are appended again.
    fn clean(&mut self) {
        if self.segments.size() * SEGMENT < 2 * self.index.size() + 4 * SEGMENT {
            return;
        }
        let Some((&oldest, segment)) = self.segments.first() else { return };
        if oldest == self.next {
            return;
        }
        let segment = segment.clone();
        self.segments.remove_mut(&oldest);
        for (key, value) in segment.records.iter().flatten() {
            self.append(key.clone(), value.clone());
        }
    }
}
