//! The figures of the papers, each with the table it stands in, to set ours beside them.

/// DeepKeyGen: Ding et al., IEEE Transactions on Neural Networks and Learning Systems 33(9), 2022.
pub mod deep_key_gen {
    /// Table III: information entropy of eight keys.
    pub const KEY_ENTROPY: [f64; 8] = [7.9807, 7.9801, 7.9808, 7.9806, 7.9790, 7.9782, 7.9791, 7.9803];
    /// Table IV: NPCR in percent of two keys whose seeds differ in one pixel.
    pub const KEY_NPCR: [f64; 8] = [99.56, 99.58, 99.58, 99.56, 99.57, 99.59, 99.63, 99.59];
    /// Table IV: UACI in percent of the same keys.
    pub const KEY_UACI: [f64; 8] = [20.87, 21.45, 20.31, 23.20, 21.84, 20.36, 20.97, 22.67];
    /// Table XIV: NPCR in percent of two ciphertexts.
    pub const CIPHER_NPCR: [f64; 8] = [99.63, 99.61, 99.59, 99.60, 99.59, 99.56, 99.58, 99.61];
    /// Table XIV: UACI in percent of two ciphertexts.
    pub const CIPHER_UACI: [f64; 8] = [23.01, 24.37, 22.90, 22.51, 23.24, 23.12, 23.46, 22.97];
    /// Table XV: NPCR in percent of two decryptions.
    pub const PLAIN_NPCR: [f64; 8] = [99.71, 99.57, 99.49, 99.55, 99.64, 99.50, 99.68, 99.61];
    /// Table XV: UACI in percent of two decryptions.
    pub const PLAIN_UACI: [f64; 8] = [23.90, 24.12, 23.57, 22.95, 24.24, 22.60, 24.07, 23.84];

    /// One data set's figures: entropies, similarity and correlations.
    #[derive(Debug, Clone, Copy)]
    pub struct DataSet {
        /// What it shows.
        pub modality: &'static str,
        /// The tables: entropy, similarity, correlation.
        pub tables: [&'static str; 3],
        /// Entropy of eight plain images.
        pub plain_entropy: [f64; 8],
        /// Entropy of the same, encrypted.
        pub cipher_entropy: [f64; 8],
        /// MSE between the two.
        pub mse: [f64; 8],
        /// SSIM between the two.
        pub ssim: [f64; 8],
        /// Correlation of neighbours in four plain images: horizontal, vertical, diagonal.
        pub plain_correlation: [[f64; 4]; 3],
        /// The same in the encrypted images.
        pub cipher_correlation: [[f64; 4]; 3],
    }

    /// Tables V, VIII, XI; VI, IX, XII; VII, X, XIII.
    pub const DATA_SETS: [DataSet; 3] = [
        DataSet {
            modality: "X-ray",
            tables: ["V", "VIII", "XI"],
            plain_entropy: [7.7756, 7.5715, 7.7604, 7.7585, 7.7841, 7.8343, 7.7558, 7.6479],
            cipher_entropy: [7.9985, 7.9987, 7.9987, 7.9986, 7.9986, 7.9986, 7.9986, 7.9986],
            mse: [11017.56, 10032.44, 10224.44, 10295.42, 10432.93, 10770.87, 10391.61, 10139.78],
            ssim: [0.0018, 0.0017, 0.0024, 0.0019, 0.0031, 0.0023, 0.0012, 0.0019],
            plain_correlation: [
                [0.9636, 0.9054, 0.9421, 0.9093],
                [0.7077, 0.9927, 0.7917, 0.8387],
                [0.8477, 0.8105, 0.6266, 0.8407],
            ],
            cipher_correlation: [
                [0.0383, 0.0280, 0.0511, 0.0395],
                [0.2259, 0.1344, 0.1785, 0.1637],
                [0.1158, 0.0380, 0.0453, 0.1242],
            ],
        },
        DataSet {
            modality: "ultrasound",
            tables: ["VI", "IX", "XII"],
            plain_entropy: [7.5874, 7.3432, 7.3946, 7.3469, 7.4049, 7.4207, 7.1624, 7.4423],
            cipher_entropy: [7.9974, 7.9973, 7.9970, 7.9969, 7.9965, 7.9970, 7.9963, 7.9970],
            mse: [11720.98, 10744.93, 11968.21, 11933.00, 12628.54, 11491.53, 11135.18, 13072.60],
            ssim: [0.0061, 0.0072, 0.0040, 0.0056, 0.0047, 0.0049, 0.0026, 0.0049],
            plain_correlation: [
                [0.6641, 0.8376, 0.3959, 0.2172],
                [0.8257, 0.7377, 0.7285, 0.6056],
                [0.3933, 0.3503, 0.6661, 0.5839],
            ],
            cipher_correlation: [
                [0.0627, 0.0040, 0.0974, 0.0396],
                [0.2557, 0.2938, 0.2666, 0.2612],
                [0.0203, 0.1816, 0.0399, 0.0005],
            ],
        },
        DataSet {
            modality: "MR",
            tables: ["VII", "X", "XIII"],
            plain_entropy: [5.9737, 6.0054, 5.8111, 5.2625, 6.3590, 5.8324, 5.9459, 5.2428],
            cipher_entropy: [7.9942, 7.9948, 7.9929, 7.9934, 7.9957, 7.9935, 7.9934, 7.9931],
            mse: [10176.00, 10694.46, 10300.70, 9455.74, 10715.22, 9287.06, 9052.20, 8701.21],
            ssim: [0.0017, 0.0027, 0.0024, 0.0004, 0.0005, 0.0019, 0.0022, 0.0014],
            plain_correlation: [
                [0.8877, 0.7038, 0.9387, 0.8970],
                [0.8456, 0.4053, 0.2657, 0.5725],
                [0.8185, 0.7037, 0.7756, 0.8063],
            ],
            cipher_correlation: [
                [0.0357, 0.0724, 0.1600, 0.0600],
                [0.2319, 0.2626, 0.1966, 0.2510],
                [0.1059, 0.1120, 0.1130, 0.0716],
            ],
        },
    ];

    /// One column of the comparison: tables XVII to XX.
    #[derive(Debug, Clone, Copy)]
    pub struct Method {
        /// Its name in the paper.
        pub name: &'static str,
        /// Table XVII: entropy of the key.
        pub key_entropy: f64,
        /// Table XVIII: P-values of non-overlapping template, rank, universal, random excursions variant.
        pub p_values: [f64; 4],
        /// Table XIX: seconds to make a key.
        pub seconds: f64,
        /// Table XX: entropy of the ciphertext.
        pub cipher_entropy: f64,
    }

    /// Tables XVII to XX, column by column.
    pub const METHODS: [Method; 6] = [
        method("Chaotic System", 7.9971, [0.0, 0.0504, 0.2098, 0.1316], 2.6178, 7.9974),
        method("LCG", 7.9991, [0.0, 0.9799, 0.1966, 0.0], 0.5257, 7.9991),
        method("Mersenne Twister", 7.9955, [0.0, 0.8106, 0.1964, 0.0], 69.219, 7.9990),
        method("RC4", 7.9990, [0.0, 0.6828, 0.1960, 0.0857], 0.0649, 7.9990),
        method("RSA", 6.0314, [0.9998, 5.22e-88, 0.0, 0.0], 0.4379, 7.2034),
        method("DeepKeyGen", 7.9870, [0.5671, 0.9999, 0.9931, 0.0517], 2.0714, 7.9986),
    ];

    /// Table XXI: the learning rates.
    pub const RATES: [f64; 3] = [0.02, 0.002, 0.0002];
    /// Table XXI: the batch sizes.
    pub const BATCHES: [u32; 3] = [1, 6, 10];
    /// Table XXI: epochs, and the mean entropy of keys for each rate and in it each batch size.
    pub const HYPERPARAMETERS: [(u32, [f64; 9]); 5] = [
        (10_000, [0.5222, 3.7878, 3.8766, 5.1698, 5.9714, 6.1303, 7.9380, 7.7889, 7.9004]),
        (15_000, [f64::NAN, 3.7878, 3.8766, 4.6602, 2.6587, 5.7981, 7.9405, 7.7093, 7.1990]),
        (20_000, [f64::NAN, 3.7878, 3.8766, 5.4456, 2.7983, 6.1169, 7.9798, 7.9533, 7.0686]),
        (25_000, [f64::NAN, 3.7878, 3.8766, 5.1133, 2.4782, 5.6927, 7.9490, 7.1992, 7.6847]),
        (30_000, [f64::NAN, 3.7878, 3.8766, 7.9003, 3.1811, 6.6174, 7.9555, 6.7871, 7.4846]),
    ];

    const fn method(
        name: &'static str,
        key_entropy: f64,
        p_values: [f64; 4],
        seconds: f64,
        cipher_entropy: f64,
    ) -> Method {
        Method { name, key_entropy, p_values, seconds, cipher_entropy }
    }
}

/// Husamuldeen, Salman, Miry: Medical Image Encryption Using Chaotic Algorithms and Deep Learning.
pub mod chaotic {
    /// NPCR in percent, the mean.
    pub const NPCR: f64 = 99.62;
    /// UACI in percent, the highest; the paper measures it between the plain and the encrypted image.
    pub const UACI_MAX: f64 = 39.4;
    /// Correlation of neighbours in encrypted images, lowest and highest.
    pub const CORRELATION: [f64; 2] = [-0.0075, 0.0091];
    /// Entropy of encrypted images, lowest and highest.
    pub const ENTROPY: [f64; 2] = [7.9995, 8.0];
    /// MSE between plain and encrypted images, lowest and highest.
    pub const MSE: [f64; 2] = [7870.0, 14816.0];
    /// PSNR in dB between plain and encrypted images, lowest and highest.
    pub const PSNR: [f64; 2] = [6.42, 9.18];
    /// Bits of the key space that the paper states for an image of 128 x 128 pixels.
    pub const KEY_SPACE_BITS: f64 = 133_120.0;
    /// Edge of the image, seconds to encrypt, seconds to decrypt.
    pub const SECONDS: [(u32, f64, f64); 2] = [(256, 0.7914, 0.8669), (512, 1.8107, 1.9592)];
    /// The same of the method that the paper calls reference 18.
    pub const SECONDS_18: [(u32, f64, f64); 2] = [(256, 0.1037, 0.0984), (512, 0.3036, 0.2743)];
    /// What the paper calls the effective key entropy by SP 800-22, in bits.
    pub const EFFECTIVE_KEY_ENTROPY: f64 = 7.9864;
}

/// The mean of a table's row.
#[must_use]
pub fn mean(figures: &[f64]) -> f64 {
    figures.iter().sum::<f64>() / figures.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_means_are_those_that_the_paper_states() {
        // DeepKeyGen IV-B1, IV-B3, IV-C3, IV-C4: means printed in the text, which a slip in the tables would change.
        let stated = [
            (7.7360, 7.9986, 10577.68, 0.0020),
            (7.3878, 7.9969, 11946.85, 0.0047),
            (5.8041, 7.9939, 9741.57, 0.0021),
        ];
        for (set, (plain, cipher, mse, ssim)) in deep_key_gen::DATA_SETS.iter().zip(stated) {
            assert!((mean(&set.plain_entropy) - plain).abs() < 1e-4, "{}", mean(&set.plain_entropy));
            assert!((mean(&set.cipher_entropy) - cipher).abs() < 1e-4, "{}", mean(&set.cipher_entropy));
            // The text's mean MSE and SSIM differ from those of its own tables, by up to 1.6 % and 0.0005.
            assert!((mean(&set.mse) / mse - 1.0).abs() < 0.02, "{}", mean(&set.mse));
            assert!((mean(&set.ssim) - ssim).abs() < 5e-4, "{}", mean(&set.ssim));
        }
        for (row, stated) in [
            (deep_key_gen::CIPHER_NPCR, 99.59),
            (deep_key_gen::CIPHER_UACI, 23.19),
            (deep_key_gen::PLAIN_NPCR, 99.59),
            (deep_key_gen::PLAIN_UACI, 23.66),
        ] {
            assert!((mean(&row) - stated).abs() < 0.011, "{}", mean(&row));
        }
    }
}
