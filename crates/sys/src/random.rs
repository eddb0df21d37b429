//! The kernel's random numbers, getrandom(2).

/// Fills `buffer`. Blocks only in the first moments after boot.
///
/// # Panics
/// Never on Linux: the call can't fail once the pool is ready, and is repeated when interrupted.
pub fn fill(buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty())
        {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => unreachable!("getrandom on a valid buffer: {errno}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_fillings_differ() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        super::fill(&mut a);
        super::fill(&mut b);
        assert_ne!(a, b);
    }
}
