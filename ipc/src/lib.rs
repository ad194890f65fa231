//! Rings between parties that do not trust each other; layout in `abi::ring`.
#![cfg_attr(not(test), no_std)]
