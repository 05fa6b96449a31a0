//! Wide instructions where the processor has them.
//!
//! Binaries are built for any x86-64, so the choice is made at run time: a loop is compiled twice. The arithmetic is
//! the same in both, operation by operation, and so are a picture's bytes; see the renderer's tests.

/// Loops over pixels and samples go through whole groups of this many and mask what is too much: most spans are short,
/// and a vectorised loop's remainder is slow. Buffers are longer by this many.
pub(super) const GROUP: usize = 8;

/// How loops over pixels are run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wide {
    #[cfg(target_arch = "x86_64")]
    avx2: Option<pulp::x86::V3>,
}

impl Wide {
    /// As wide as this processor allows.
    pub fn best() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            avx2: pulp::x86::V3::try_new(),
        }
    }

    /// As the binary was built.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            avx2: None,
        }
    }

    /// Runs `work`, which should be loops whose bodies can be inlined.
    #[inline(always)]
    pub fn run<R>(self, work: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = self.avx2 {
            return pulp::Simd::vectorize(avx2, work);
        }
        work()
    }
}
