//! Making a tokenizer: byte-level BPE, as GPT-2's (Radford et al. 2019), learned from texts.

use tokenizers::{
    AddedToken, Model as _, TokenizerBuilder,
    decoders::byte_level::ByteLevel as ByteLevelDecoder,
    models::bpe::{BPE, BpeTrainer},
    normalizers::NormalizerWrapper,
    pre_tokenizers::byte_level::ByteLevel,
    processors::PostProcessorWrapper,
};

use super::{SpecialTokens, Tokenizer, TokenizerError};

/// The token that ends a document; id 0.
pub const EOS: &str = "<eos>";

/// Learns a byte-level BPE vocabulary of at most `vocab_size` tokens: [`EOS`], the 256 bytes, and merges. Any text can
/// be represented. The same texts give the same tokenizer.
///
/// # Errors
/// The vocabulary is too small for the bytes, or the texts hold nothing to merge.
pub fn train_bpe<S: AsRef<str> + Send>(
    texts: impl Iterator<Item = S> + Send,
    vocab_size: usize,
) -> Result<Tokenizer, TokenizerError> {
    let place = std::path::PathBuf::from("the new tokenizer");
    let failed = |source| TokenizerError::Format { path: place.clone(), source };
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(EOS, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut inner =
        TokenizerBuilder::<BPE, NormalizerWrapper, ByteLevel, PostProcessorWrapper, ByteLevelDecoder>::new()
            .with_model(BPE::default())
            .with_normalizer(None)
            .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
            .with_post_processor(None)
            .with_decoder(Some(ByteLevelDecoder::default()))
            .build()
            .map_err(failed)?;
    inner.train(&mut trainer, texts).map_err(failed)?;
    if inner.get_model().get_vocab_size() <= 257 {
        return Err(failed("the texts hold no pair of bytes twice, or vocab_size leaves no room for merges".into()));
    }
    let json = inner.to_string(false).map_err(failed)?;
    let special = SpecialTokens { eos_token: Some(EOS.to_owned()), ..SpecialTokens::default() };
    Tokenizer::new(tokenizers::Tokenizer::from_bytes(json).map_err(failed)?, special, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> impl Iterator<Item = String> {
        (0..200).map(|i| format!("The drug number {} acts on the liver {} times.\n", i % 17, i % 5))
    }

    #[test]
    fn a_new_tokenizer_represents_any_text_and_ends_documents() {
        let tokenizer = train_bpe(texts(), 400).unwrap();
        assert_eq!(tokenizer.eos(), Some(0));
        for text in ["The drug acts on the liver.\n", "naïve 🦀 text\tof any kind", " "] {
            let ids = tokenizer.encode(text, true).unwrap();
            assert_eq!(tokenizer.decode(&ids, true).unwrap(), text);
        }
        assert!(tokenizer.encode(" the liver", false).unwrap().len() <= 3);
        assert!(tokenizer.len() <= 400);
    }

    #[test]
    fn training_is_reproducible() {
        let json = || train_bpe(texts(), 380).unwrap().to_json().unwrap();
        assert_eq!(json(), json());
    }

    #[test]
    fn a_vocabulary_smaller_than_the_bytes_is_refused() {
        assert!(train_bpe(texts(), 100).is_err());
    }
}
