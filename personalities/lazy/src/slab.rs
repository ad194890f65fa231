//! A slab: objects of one type in pages that never move, named by a small number that is used again once it is free.

use alloc::boxed::Box;
use alloc::vec::Vec;

const PER_PAGE: usize = 32;

/// Objects of type `T`.
pub struct Slab<T> {
    pages: Vec<Box<[Option<T>]>>,
    free: Vec<u32>,
    used: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { pages: Vec::new(), free: Vec::new(), used: 0 }
    }
}

impl<T> Slab<T> {
    /// Takes `value` in; its name.
    pub fn insert(&mut self, value: T) -> u32 {
        let index = match self.free.pop() {
            Some(i) => i,
            None => {
                let first = self.pages.len() * PER_PAGE;
                self.pages.push((0..PER_PAGE).map(|_| None).collect());
                self.free.extend((first + 1..first + PER_PAGE).rev().map(|i| i as u32));
                first as u32
            }
        };
        if let Some(slot) = self.slot(index) {
            *slot = Some(value);
            self.used += 1;
        }
        index
    }

    fn slot(&mut self, index: u32) -> Option<&mut Option<T>> {
        self.pages.get_mut(index as usize / PER_PAGE)?.get_mut(index as usize % PER_PAGE)
    }

    /// The object `index`.
    pub fn get(&self, index: u32) -> Option<&T> {
        self.pages.get(index as usize / PER_PAGE)?.get(index as usize % PER_PAGE)?.as_ref()
    }

    /// The object `index`, to change.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slot(index)?.as_mut()
    }

    /// Takes the object out.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slot(index)?.take()?;
        self.free.push(index);
        self.used -= 1;
        Some(value)
    }

    /// Objects held.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.pages
            .iter()
            .flat_map(|p| p.iter())
            .enumerate()
            .filter_map(|(i, s)| Some((i as u32, s.as_ref()?)))
    }

    /// All, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let all = self.pages.iter_mut().flat_map(|p| p.iter_mut()).enumerate();
        all.filter_map(|(i, s)| Some((i as u32, s.as_mut()?)))
    }
}
