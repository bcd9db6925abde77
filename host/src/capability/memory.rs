//! Bounds the memory of one instance: the sum over all its linear memories, and over all its tables. A limit per memory
//! would let a guest with three memories have three times as much. And how many of each a component may have: the pool
//! that they come from is as big as that times the instances that there may be.

use super::allowance::Limits;
use wasmtime::{ResourceLimiter, Result};

/// Counts what one instance holds.
#[derive(Debug)]
pub(super) struct Memory {
    bytes: usize,
    bytes_max: usize,
    elements: usize,
    elements_max: usize,
    refused: Option<Refused>,
}

/// What was asked for and not given.
#[derive(Debug, Clone, Copy)]
enum Refused {
    Bytes(usize),
    Elements(usize),
}

/// Linear memories of one component: a QuickJS guest with its adapters has three.
pub const MEMORIES_PER_COMPONENT: u32 = 3;

/// Tables of one component; each core instance of a Python guest brings at most one.
pub const TABLES_PER_COMPONENT: u32 = 64;

/// Core instances of one component: a Python guest is made of up to 38.
pub const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

// === impl Memory ===

impl Memory {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            bytes: 0,
            bytes_max: limits.memory_bytes_max,
            elements: 0,
            elements_max: limits.table_elements_max,
            refused: None,
        }
    }

    /// Bytes of linear memory held now.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the guest asked for in vain since this was last asked, for a message about its end.
    pub(super) fn take_refusal(&mut self) -> Option<String> {
        Some(match self.refused.take()? {
            Refused::Bytes(wanted) => {
                format!("it wanted {wanted} bytes of memory and may have {}", self.bytes_max)
            }
            Refused::Elements(wanted) => {
                format!("it wanted {wanted} table elements and may have {}", self.elements_max)
            }
        })
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let wanted = self.bytes.saturating_add(desired.saturating_sub(current));
        if wanted > self.bytes_max {
            self.refused = Some(Refused::Bytes(wanted));
            return Ok(false);
        }
        self.bytes = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let wanted = self.elements.saturating_add(desired.saturating_sub(current));
        if wanted > self.elements_max {
            self.refused = Some(Refused::Elements(wanted));
            return Ok(false);
        }
        self.elements = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_PER_COMPONENT as usize
    }

    fn tables(&self) -> usize {
        TABLES_PER_COMPONENT as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_PER_COMPONENT as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_memories_share_one_limit() {
        let mut memory =
            Memory::new(&Limits { memory_bytes_max: 100, table_elements_max: 10, ..Limits::default() });
        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(!memory.memory_growing(0, 60, None).unwrap());
        assert_eq!(memory.take_refusal().unwrap(), "it wanted 120 bytes of memory and may have 100");
        assert!(memory.memory_growing(0, 40, None).unwrap());
        assert_eq!((memory.bytes(), memory.take_refusal()), (100, None));
        assert!(!memory.table_growing(5, 16, None).unwrap());
    }
}
