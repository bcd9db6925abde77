//! Limits on what one guest may use, and what is left of them during one call.
//!
//! Pure counting. Time is counted in ticks that the guest was *seen running*: a tick that passed while it waited for the
//! host, or while the machine had no core for it, is not charged.

use std::num::NonZeroU32;
use std::time::Duration;

/// How long one tick of the engine's clock is. Ten of them make the shortest limit, so a limit is off by a tenth at most.
pub const TICK: Duration = Duration::from_millis(5);

/// What a guest may use. Every value must be above zero; [`Limits::check`] says which is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Guest CPU time of one hook call.
    pub hook_cpu: Duration,
    /// Guest CPU time of `describe`, and of `configure`.
    pub configure_cpu: Duration,
    /// Wall-clock time of one call, whatever it waits for.
    pub wall_clock: Duration,
    /// Wall-clock time of a hook of a skill that may use `inference` or `http`.
    pub wall_clock_asking: Duration,
    /// How long a call waits for a free instance before it gives up.
    pub instance_wait: Duration,
    /// Bytes of all linear memories of one instance together.
    pub memory_bytes_max: usize,
    /// Elements of all tables of one instance together.
    pub table_elements_max: usize,
    /// Bytes that one call across the border may carry out of the guest.
    pub transfer_bytes_max: usize,
    /// Host functions that one call may use.
    pub host_calls_max: u32,
    /// Log lines of one call.
    pub log_lines_max: u32,
    /// Bytes of log, standard output and standard error of one call.
    pub log_bytes_max: usize,
    /// Calls after which a reusable instance is replaced: a guest's leak ends there.
    pub reuse_max: u32,
    /// Bytes by which a reusable instance may have grown since it was configured before it is replaced.
    pub reuse_growth_bytes_max: usize,
    /// Instances of all skills together, running or kept warm.
    pub instances_max: NonZeroU32,
    /// Instances kept warm per skill.
    pub warm_max: usize,
}

/// A limit that cannot be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Nothing would run.
    #[error("`{0}` must be above zero")]
    Zero(&'static str),
    /// The clock does not tick that fast.
    #[error("`{0}` must be at least {TICK:?}")]
    BelowTick(&'static str),
    /// 32-bit guests cannot use it, and the pool reserves address space for it.
    #[error("`memory_bytes_max` must be at most 4 GiB")]
    Memory,
}

/// What is left of the limits during one call.
#[derive(Debug, Clone, Default)]
pub struct Allowance {
    ticks: u32,
    excused: u32,
    host_calls: u32,
    log_lines: u32,
    log_bytes: usize,
    told_dropped: bool,
}

/// Whether the guest may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It may.
    Granted,
    /// It has used up what it had.
    Spent,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            hook_cpu: Duration::from_millis(50),
            configure_cpu: Duration::from_secs(1),
            wall_clock: Duration::from_secs(2),
            wall_clock_asking: Duration::from_secs(10),
            instance_wait: Duration::from_secs(2),
            memory_bytes_max: 64 << 20,
            // The largest guest runtime measured uses 7 697.
            table_elements_max: 20_000,
            transfer_bytes_max: 4 << 20,
            host_calls_max: 1000,
            log_lines_max: 64,
            log_bytes_max: 16 << 10,
            // A guest that reads word lists takes tens of milliseconds to configure: replaced after a thousand calls, it
            // would spend more on that than on all its answers. What it leaks is bounded by its growth.
            reuse_max: 100_000,
            reuse_growth_bytes_max: 4 << 20,
            instances_max: NonZeroU32::MIN.saturating_add(63),
            warm_max: 8,
        }
    }
}

impl Limits {
    /// Refuses limits under which nothing could run, naming the first of them.
    pub fn check(&self) -> Result<(), LimitsError> {
        let times = [
            ("hook_cpu", self.hook_cpu),
            ("configure_cpu", self.configure_cpu),
            ("wall_clock", self.wall_clock),
            ("wall_clock_asking", self.wall_clock_asking),
            ("instance_wait", self.instance_wait),
        ];
        for (name, time) in times {
            if time.is_zero() {
                return Err(LimitsError::Zero(name));
            }
            if time < TICK {
                return Err(LimitsError::BelowTick(name));
            }
        }
        let counts = [
            ("memory_bytes_max", self.memory_bytes_max),
            ("table_elements_max", self.table_elements_max),
            ("transfer_bytes_max", self.transfer_bytes_max),
            ("host_calls_max", self.host_calls_max as usize),
            ("log_lines_max", self.log_lines_max as usize),
            ("log_bytes_max", self.log_bytes_max),
            ("reuse_max", self.reuse_max as usize),
            ("reuse_growth_bytes_max", self.reuse_growth_bytes_max),
            ("warm_max", self.warm_max),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(LimitsError::Zero(name)),
            None if self.memory_bytes_max > 4 << 30 => Err(LimitsError::Memory),
            None => Ok(()),
        }
    }
}

// === impl Allowance ===

impl Allowance {
    /// A whole allowance, with this much CPU time.
    pub fn full(limits: &Limits, cpu: Duration) -> Self {
        let ticks = cpu.as_millis().div_ceil(TICK.as_millis());
        Self {
            ticks: u32::try_from(ticks).unwrap_or(u32::MAX),
            excused: 0,
            host_calls: limits.host_calls_max,
            log_lines: limits.log_lines_max,
            log_bytes: limits.log_bytes_max,
            told_dropped: false,
        }
    }

    /// The guest was seen running while the clock ticked.
    pub fn tick(&mut self) -> Leave {
        if self.excused > 0 {
            self.excused -= 1;
            return Leave::Granted;
        }
        spend(&mut self.ticks, 1)
    }

    /// The clock ticked while the guest waited for the host: the tick that it will be charged next is not its own.
    pub fn excuse_tick(&mut self) {
        self.excused = 1;
    }

    /// The guest calls a host function.
    pub fn host_call(&mut self) -> Leave {
        spend(&mut self.host_calls, 1)
    }

    /// The guest writes a line; of its bytes as many as are left may be kept. None where no line is left.
    pub fn log_line(&mut self, bytes: usize) -> Option<usize> {
        match spend(&mut self.log_lines, 1) {
            Leave::Granted => Some(self.log_bytes(bytes)),
            Leave::Spent => None,
        }
    }

    /// Lines are being dropped; true where that has not been said in this call.
    pub fn note_dropped_lines(&mut self) -> bool {
        !std::mem::replace(&mut self.told_dropped, true)
    }

    /// Takes up to `bytes` from what may be written, and returns how many it got.
    fn log_bytes(&mut self, bytes: usize) -> usize {
        let taken = bytes.min(self.log_bytes);
        self.log_bytes -= taken;
        taken
    }
}

fn spend(left: &mut u32, amount: u32) -> Leave {
    match left.checked_sub(amount) {
        Some(rest) => {
            *left = rest;
            Leave::Granted
        }
        None => Leave::Spent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_zero_are_refused_by_name() {
        assert_eq!(Limits::default().check(), Ok(()));
        let limits = Limits { hook_cpu: Duration::ZERO, ..Limits::default() };
        assert_eq!(limits.check(), Err(LimitsError::Zero("hook_cpu")));
        let limits = Limits { wall_clock: Duration::from_millis(1), ..Limits::default() };
        assert_eq!(limits.check(), Err(LimitsError::BelowTick("wall_clock")));
        let limits = Limits { log_lines_max: 0, ..Limits::default() };
        assert_eq!(limits.check(), Err(LimitsError::Zero("log_lines_max")));
        let limits = Limits { memory_bytes_max: 5 << 30, ..Limits::default() };
        assert_eq!(limits.check(), Err(LimitsError::Memory));
    }

    #[test]
    fn ticks_run_out_and_a_wait_is_not_charged() {
        let mut allowance = Allowance::full(&Limits::default(), TICK * 2);
        assert_eq!(allowance.tick(), Leave::Granted);
        allowance.excuse_tick();
        allowance.excuse_tick();
        assert_eq!(
            [allowance.tick(), allowance.tick(), allowance.tick()],
            [Leave::Granted, Leave::Granted, Leave::Spent]
        );
    }

    #[test]
    fn the_log_ends_at_its_lines_and_bytes() {
        let limits = Limits { log_lines_max: 2, log_bytes_max: 10, ..Limits::default() };
        let mut allowance = Allowance::full(&limits, TICK);
        assert_eq!(
            [allowance.log_line(6), allowance.log_line(6), allowance.log_line(1)],
            [Some(6), Some(4), None]
        );
        assert_eq!(allowance.log_bytes(5), 0);
    }
}
