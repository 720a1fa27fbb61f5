//! Every set of instructions against the formulas, on random numbers that reach the ends of their ranges.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Numbers from a seed; a few of them at the ends of their range.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn within(&mut self, low: i64, high: i64) -> i64 {
        match self.next() % 8 {
            0 => low,
            1 => high,
            _ => low + (self.next() % (high - low + 1).unsigned_abs()).cast_signed(),
        }
    }

    fn activations(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.within(0, 127)).unwrap()).collect()
    }

    fn quads(&mut self, count: usize) -> Vec<Quad> {
        let mut weight = || i8::try_from(self.within(-128, 127)).unwrap();
        (0..count).map(|_| Quad(std::array::from_fn(|_| std::array::from_fn(|_| weight())))).collect()
    }

    fn accumulators(&mut self, count: usize) -> Vec<i32> {
        let limit = (1 << 23) - 1;
        (0..count).map(|_| i32::try_from(self.within(-limit, limit)).unwrap()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn mixing_is_the_sum_of_products(
        seed: u64,
        blocks in 1..=2_usize,
        advance in select(vec![4_usize, 8, 16, 32, 64]),
        steps in 1..40_usize,
        count in select(vec![16_usize, 32, 64]),
        gap in 0..20_usize,
    ) {
        let mut numbers = Numbers(seed);
        let offsets: Vec<u32> = (0..steps).map(|_| u32::try_from(numbers.within(0, 300)).unwrap()).collect();
        let quads = numbers.quads(steps * blocks);
        let input = numbers.activations((count - 1) * advance + 304);
        let width = blocks * LANES + gap;
        let plan = Mixing::new(offsets.clone(), quads.clone(), advance, width);
        for with in Instructions::available() {
            let mut out = vec![i32::MIN; (count - 1) * width + blocks * LANES];
            plan.row(with, &input, &mut out, count);
            for (at, found) in out.iter().enumerate() {
                let (position, lane) = (at / width, at % width);
                if lane >= blocks * LANES {
                    prop_assert_eq!(*found, i32::MIN, "{} wrote between the outputs", with);
                    continue;
                }
                let sum: i64 = (0..steps)
                    .flat_map(|step| (0..4).map(move |four| (step, four)))
                    .map(|(step, four)| {
                        let weight = quads[step * blocks + lane / LANES].0[lane % LANES][four];
                        i64::from(weight) * i64::from(input[position * advance + offsets[step] as usize + four])
                    })
                    .sum();
                prop_assert_eq!(i64::from(*found), sum, "{} at {}", with, at);
            }
        }
    }

    #[test]
    fn a_filter_is_the_scaled_sum_of_products_of_each_channel(
        seed: u64,
        blocks in select(vec![1_usize, 2, 4]),
        steps in 1..30_usize,
        ahead in 1..=2_usize,
        gap in 0..20_usize,
        in_bands: bool,
        exact_alone: bool,
    ) {
        let count = 8;
        let mut numbers = Numbers(seed);
        let channels = blocks * LANES;
        let band = (in_bands && blocks == 1).then_some(count * (LANES + gap) + 3);
        let steps: Vec<FilterStep> = (0..steps)
            .map(|_| FilterStep {
                offset: u32::try_from(numbers.within(0, 500)).unwrap(),
                outputs: u8::try_from(numbers.within(1, 15)).unwrap(),
            })
            .collect();
        let each: usize = steps.iter().map(|step| step.outputs.count_ones() as usize).sum();
        let quads = numbers.quads(each * blocks);
        let advance = ahead * FOUR * channels;
        let input = numbers.activations((count - 1) * advance + 500 + FOUR * channels);
        let width = if band.is_some() { LANES + gap } else { FOUR * channels + gap };
        let room = (count - 1) * width + band.map_or(FOUR * channels, |band| 3 * band + LANES);
        let scales: Vec<(i64, i64)> =
            (0..channels).map(|_| (numbers.within(-500_000, 500_000), numbers.within(1_000_000, 100_000_000))).collect();
        let scale = Scale::new(channels, 0, 64, |channel| scales[channel]);
        let mut plan = Filter::new(steps.clone(), quads.clone(), (advance, width), band, scale);
        if exact_alone {
            plan.floats = None;
        }
        let mut expected = vec![0xEE; room];
        for place in 0..count * FOUR * channels {
            let (position, output, channel) = (place / (FOUR * channels), place / channels % FOUR, place % channels);
            let block = channel / LANES;
            let mut own = quads[block * each..(block + 1) * each].iter();
            let mut sum = 0;
            for step in &steps {
                for _ in 0..(step.outputs & ((1 << output) - 1)).count_ones() {
                    own.next();
                }
                if step.outputs >> output & 1 == 1 {
                    let quad = own.next().unwrap();
                    let at = position * advance + step.offset as usize + channel * FOUR;
                    let products = (0..FOUR)
                        .map(|tap| i64::from(quad.0[channel % LANES][tap]) * i64::from(input[at + tap]));
                    sum += products.sum::<i64>();
                }
                for _ in 0..(step.outputs >> output >> 1).count_ones() {
                    own.next();
                }
            }
            let (mean, factor) = scales[channel];
            let inside = match band {
                None => output * channels + channel,
                Some(band) => channel / FOUR * band + output * FOUR + channel % FOUR,
            };
            expected[position * width + inside] =
                u8::try_from(((((sum - mean) * factor + (1 << 31)) >> 32) + 64).clamp(0, 127)).unwrap();
        }
        for with in Instructions::available() {
            let mut out = vec![0xEE; room];
            plan.row(with, &input, &mut out, count);
            prop_assert_eq!(&out, &expected, "{}", with);
        }
    }

    #[test]
    fn a_filter_over_pixels_is_the_same_sum(
        seed: u64,
        channels in select(vec![16_usize, 32, 64]),
        steps in 1..15_usize,
        ahead in 1..=2_usize,
    ) {
        let count = 16;
        let mut numbers = Numbers(seed);
        let offsets: Vec<[u32; 4]> =
            (0..steps).map(|_| std::array::from_fn(|_| u32::try_from(numbers.within(0, 500)).unwrap())).collect();
        let blocks = channels / LANES;
        let quads = numbers.quads(steps * blocks);
        let advance = ahead * channels;
        let input = numbers.activations((count - 1) * advance + 500 + channels);
        let scales: Vec<(i64, i64)> =
            (0..channels).map(|_| (numbers.within(-500_000, 500_000), numbers.within(1_000_000, 100_000_000))).collect();
        let scale = Scale::new(channels, 0, 64, |channel| scales[channel]);
        let plan = PixelFilter::new(offsets.clone(), quads.clone(), advance, scale);
        for with in Instructions::available() {
            let mut out = vec![0xEE; count * channels];
            plan.row(with, &input, &mut out, count);
            for (at, found) in out.iter().enumerate() {
                let (position, channel) = (at / channels, at % channels);
                let sum: i64 = (0..steps * 4)
                    .map(|tap| {
                        let quad = &quads[tap / 4 * blocks + channel / LANES];
                        let place = position * advance + offsets[tap / 4][tap % 4] as usize + channel;
                        i64::from(quad.0[channel % LANES][tap % 4]) * i64::from(input[place])
                    })
                    .sum();
                let (mean, factor) = scales[channel];
                let expected = ((((sum - mean) * factor + (1 << 31)) >> 32) + 64).clamp(0, 127);
                prop_assert_eq!(i64::from(*found), expected, "{} at {}", with, at);
            }
        }
    }

    /// Activations one by one around every place where one ends, and at both ends of what there can be.
    #[test]
    fn floats_are_used_only_where_they_give_what_the_integers_give(seed: u64, bits in 16..31_u32, mean in -1_000_000..1_000_000_i64) {
        let mut numbers = Numbers(seed);
        let factors: Vec<i64> = (0..LANES).map(|_| numbers.within(1, (1 << bits) - 1)).collect();
        let scale = Scale::new(LANES, 0, 64, |channel| (mean, factors[channel]));
        let Some(floats) = Floats::of(&scale) else { return Ok(()) };
        for (at, factor) in factors.iter().enumerate() {
            let end = (1_i64 << 23) - 1;
            let begins = (-64..=64).map(|step: i64| ((step << 32) - (1 << 31)) / factor);
            let near = begins.flat_map(|place| place - 3..=place + 3).filter(|x| x.abs() <= end);
            for centred in near.chain([-end, end]) {
                let integers = (((centred * factor + (1 << 31)) >> 32) + 64).clamp(0, 127);
                prop_assert_eq!(floats.activation(at, centred), integers, "{} times {}", centred, factor);
            }
        }
    }

    #[test]
    fn the_fold_takes_eight_bits_of_each_of_three_channels(seed: u64, fours in 1..40_usize) {
        let mut numbers = Numbers(seed);
        let row = numbers.accumulators(fours * LANES);
        let means = [0; 3].map(|_: i32| numbers.accumulators(1)[0]);
        let shifts = [0; 3].map(|_: u32| u32::try_from(numbers.within(0, 11)).unwrap());
        let expected: Vec<u8> = (0..fours * 12)
            .map(|at| {
                let x = i64::from(row[at / 3 * 4 + at % 3]) - i64::from(means[at % 3]);
                u8::try_from((x >> shifts[at % 3]).rem_euclid(256)).unwrap()
            })
            .collect();
        for with in Instructions::available() {
            let mut out = vec![0xEE; fours * 12];
            Fold::new(means, shifts).row(with, &row, &mut out);
            prop_assert_eq!(&out, &expected, "{}", with);
        }
    }

    #[test]
    fn a_band_takes_its_own_quarter(seed: u64, fours in 1..40_usize, band in 0..4_usize) {
        let from: Vec<u8> = (0..fours * 12).map(|at| u8::try_from(seed.wrapping_mul(at as u64 + 1) >> 56).unwrap()).collect();
        for with in Instructions::available() {
            let mut row = vec![0xEE; fours * 64];
            take_band(with, &from, band, &mut row);
            for (at, found) in row.iter().enumerate() {
                let (pixel, lane) = (at / 64 * 4 + at % 4, at % 64 / 4);
                let expected = match (lane / 4 == band, lane % 4) {
                    (false, _) => 0xEE,
                    (true, 3) => 0,
                    (true, channel) => from[pixel * 3 + channel] >> 1,
                };
                prop_assert_eq!(*found, expected, "{} at {}", with, at);
            }
        }
    }

    #[test]
    fn sums_are_exact(seed: u64, width in select(vec![16_usize, 32, 64]), groups in 1..600_usize) {
        let row = Numbers(seed).accumulators(width * groups);
        for with in Instructions::available() {
            let mut sums = Sums::ZERO;
            sums.add(with, &row, width);
            sums.add(with, &row, width);
            for channel in 0..64 {
                let all = || row.iter().skip(channel).step_by(width).map(|x| i64::from(*x)).filter(|_| channel < width);
                prop_assert_eq!(sums.sum[channel], 2 * all().sum::<i64>(), "{}", with);
                prop_assert_eq!(sums.squares[channel], 2 * all().map(|x| x * x).sum::<i64>(), "{}", with);
            }
        }
    }

    #[test]
    fn scaling_is_the_formula(
        seed: u64,
        width in select(vec![16_usize, 32, 64]),
        groups in 1..20_usize,
        carry in prop_oneof![Just(0), Just(1), Just(u32::MAX), any::<u32>()],
        shift in select(vec![0, 64]),
        scale_bits in 1..31_u32,
    ) {
        let mut numbers = Numbers(seed);
        let row = numbers.accumulators(width * groups);
        let added = numbers.activations(width * groups);
        // Small and large factors: with large ones nearly everything is cut, with small ones nothing.
        let scales: Vec<(i64, i64)> =
            (0..width).map(|_| (numbers.accumulators(1)[0].into(), numbers.within(0, (1 << scale_bits) - 1))).collect();
        let plan = Scale::new(width, carry, shift, |channel| scales[channel]);
        for with in Instructions::available() {
            let mut out = vec![0xEE; row.len()];
            let with_added = (carry != 0).then_some(&added[..]);
            plan.row(with, &row, with_added, &mut out);
            for (at, found) in out.iter().enumerate() {
                let (mean, factor) = scales[at % width];
                let product = (i64::from(row[at]) - mean) * factor + i64::from(added[at]) * i64::from(carry);
                let expected = (((product + (1 << 31)) >> 32) + i64::from(shift)).clamp(0, 127);
                prop_assert_eq!(i64::from(*found), expected, "{} at {}", with, at);
            }
            if groups % FOUR == 0 {
                // The same in fours of pixels, channel by channel.
                let turn = |at: usize| {
                    let (four, place) = (at / (FOUR * width), at % (FOUR * width));
                    four * FOUR * width + place % FOUR * width + place / FOUR
                };
                let turned: Vec<u8> = (0..row.len()).map(|at| added[turn(at)]).collect();
                let mut fours = vec![0xEE; row.len()];
                plan.fours(with, &row, with_added.map(|_| &turned[..]), &mut fours);
                let expected: Vec<u8> = (0..row.len()).map(|at| out[turn(at)]).collect();
                prop_assert_eq!(fours, expected, "{}", with);
            }
        }
    }
}

#[test]
fn this_machine_is_tested_with_all_it_has() {
    let names: Vec<_> = Instructions::available().iter().map(ToString::to_string).collect();
    assert_eq!(names[0], "portable");
    #[cfg(target_arch = "x86_64")]
    assert_eq!(
        names.contains(&"avx2".to_owned()),
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    );
}
