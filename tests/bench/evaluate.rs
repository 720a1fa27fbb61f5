//! The bars of the evaluation: the whole SP 800-22 suite over 100 million bits, and all image measures over one image.
//!
//! `cargo bench --bench evaluate` prints the times and the peak of memory, and fails above 60 s, 50 ms or 1 GiB.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sealgate::evaluate::Seeded;
use sealgate::evaluate::image::{
    Direction, Raster, correlation, critical_values, difference, entropy, histogram, local_entropy,
    similarity,
};
use sealgate::evaluate::sp800_22::assess;
use sealgate::evaluate::sp800_90b::min_entropy;

const SUITE_BAR: Duration = Duration::from_secs(60);
const IMAGE_BAR: Duration = Duration::from_millis(50);
const MEMORY_BAR: u64 = 1 << 30;

fn main() -> ExitCode {
    let mut data = vec![0; 100 * 125_000];
    Seeded::new(1).fill(&mut data);

    let image = median(|| measure_image(&data, 1));
    println!("image measures, 512 x 512 grey: {image:.1?}, the bar is {IMAGE_BAR:?}");
    let colour = median(|| measure_image(&data, 3));
    println!("image measures, 512 x 512 colour: {colour:.1?}, the bar is {IMAGE_BAR:?}");

    let start = Instant::now();
    let assessment = assess(&data, 1_000_000, || ()).expect("a hundred sequences");
    let suite = start.elapsed();
    println!(
        "SP 800-22, 100 sequences of 1,000,000 bits: {suite:.1?}, the bar is {SUITE_BAR:?}; {} of {} lines failed",
        assessment.failures().count(),
        assessment.tested()
    );

    let start = Instant::now();
    let entropy = min_entropy(&data[..1_000_000]).expect("a million bytes");
    println!("SP 800-90B, 1,000,000 bytes: {:.1?}; {:.3} bits a byte", start.elapsed(), entropy.per_byte);

    let peak = peak_memory();
    println!("peak of memory: {} MiB, the bar is {} MiB", peak >> 20, MEMORY_BAR >> 20);
    ExitCode::from(u8::from(suite > SUITE_BAR || image.max(colour) > IMAGE_BAR || peak > MEMORY_BAR))
}

fn measure_image(data: &[u8], channels: usize) -> Duration {
    let size = 512 * 512 * channels;
    let raster = |bytes: &[u8]| Raster::from_bytes(512, 512, channels, bytes).expect("its size");
    let (a, b) = (raster(&data[..size]), raster(&data[size..2 * size]));
    let start = Instant::now();
    let histogram = histogram(&a);
    let mut sum = entropy(&histogram.counts) + local_entropy(&a, 0.05, 1).expect("large enough").mean;
    let similarity = similarity(&a, &b).expect("one shape");
    sum += similarity.mse + similarity.psnr + similarity.ssim + difference(&a, &b).expect("one shape").npcr;
    sum += critical_values(8, size, 0.05).npcr_min;
    for direction in Direction::ALL {
        sum += correlation(&a, direction).expect("large enough").coefficient.unwrap_or(0.0);
    }
    let took = start.elapsed();
    assert!(sum.is_finite(), "the measures were taken");
    took
}

fn median(mut once: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..15).map(|_| once()).collect();
    times.sort();
    times[times.len() / 2]
}

/// The most memory this process has held, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}
