//! The logical digest of tables, and that of rows.

mod common;

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, DictionaryArray, FixedSizeListBuilder, Float64Array, Int32Array, Int32Builder,
        Int64Array, LargeStringArray, ListBuilder, MapBuilder, RecordBatch, StringArray, StringBuilder,
        StringViewArray, StructArray,
    },
    buffer::NullBuffer,
    compute::concat_batches,
    datatypes::{DataType, Field, Int8Type, Schema},
};
use pipe_cache::{Digest, TableDigest, row_digests};
use proptest::prelude::*;

fn digest(batches: &[RecordBatch]) -> Digest {
    let mut digest = TableDigest::new(&batches[0].schema()).unwrap();
    for batch in batches {
        digest.update(batch).unwrap();
    }
    digest.finish()
}

fn one(array: impl Array + 'static) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("c", Arc::new(array) as ArrayRef, true)]).unwrap()
}

fn of(array: impl Array + 'static) -> Digest {
    let batch = one(array);
    // Whatever tells tables apart must tell their rows apart, too; so both digests are compared at once.
    let mut both = pipe_cache::Hasher::new("test");
    both.digest(&digest(std::slice::from_ref(&batch)));
    for row in row_digests(&batch).unwrap() {
        both.digest(&row);
    }
    both.finish()
}

fn list(rows: Vec<Option<Vec<Option<i32>>>>) -> impl Array + 'static {
    let mut builder = ListBuilder::new(Int32Builder::new());
    for row in rows {
        builder.append_option(row);
    }
    builder.finish()
}

#[test]
fn nulls_empties_order_types_and_bits_are_told_apart() {
    let distinct = [
        of(StringArray::from(vec![Some("a"), None])),
        of(StringArray::from(vec![None, Some("a")])),
        of(StringArray::from(vec![Some("a"), Some("")])),
        of(StringArray::from(vec![Some(""), Some("a")])),
        of(StringArray::from(vec![Some("a")])),
        of(Int64Array::from(vec![Some(0)])),
        of(Int64Array::from(vec![None])),
        of(Int32Array::from(vec![Some(0)])),
        of(BooleanArray::from(vec![Some(false)])),
        of(BooleanArray::from(vec![None])),
        of(Float64Array::from(vec![0.0])),
        of(Float64Array::from(vec![-0.0])),
        of(Float64Array::from(vec![f64::NAN])),
        of(Float64Array::from(vec![f64::from_bits(f64::NAN.to_bits() ^ 1)])),
        of(list(vec![None])),
        of(list(vec![Some(vec![])])),
        of(list(vec![Some(vec![None])])),
        of(list(vec![Some(vec![Some(1), Some(2)]), Some(vec![])])),
        of(list(vec![Some(vec![Some(1)]), Some(vec![Some(2)])])),
        of(list(vec![Some(vec![]), Some(vec![Some(1), Some(2)])])),
    ];
    for (i, a) in distinct.iter().enumerate() {
        for (j, b) in distinct.iter().enumerate() {
            assert_eq!(i == j, a == b, "cases {i} and {j}");
        }
    }
}

#[test]
fn layout_does_not_count() {
    let texts = || vec![Some("red"), None, Some(""), Some("red")];
    let plain = of(StringArray::from(texts()));
    assert_eq!(plain, of(LargeStringArray::from(texts())));
    assert_eq!(plain, of(StringViewArray::from(texts())));
    assert_eq!(plain, of(texts().into_iter().collect::<DictionaryArray<Int8Type>>()));
}

#[test]
fn what_lies_under_a_null_does_not_count() {
    let nulls = || Some(NullBuffer::from(vec![true, false]));
    assert_eq!(of(Int64Array::new(vec![1, 2].into(), nulls())), of(Int64Array::new(vec![1, 3].into(), nulls())));
    let pair = |under: i32| {
        let field = Arc::new(Field::new("x", DataType::Int32, false));
        StructArray::new(vec![field].into(), vec![Arc::new(Int32Array::from(vec![1, under]))], nulls())
    };
    assert_eq!(of(pair(2)), of(pair(3)));
}

#[test]
fn the_schema_counts_but_not_its_metadata() {
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let with = |name: &str, nullable: bool, note: &str| {
        let metadata = [("note".to_owned(), note.to_owned())];
        let field = Field::new(name, DataType::Int32, nullable).with_metadata(metadata.clone().into());
        let schema = Schema::new_with_metadata(vec![field], metadata.into());
        digest(&[RecordBatch::try_new(Arc::new(schema), vec![column.clone()]).unwrap()])
    };
    assert_eq!(with("a", true, "x"), with("a", true, "y"));
    assert_ne!(with("a", true, "x"), with("b", true, "x"));
    assert_ne!(with("a", true, "x"), with("a", false, "x"));
}

#[test]
fn unions_are_refused() {
    let union = DataType::Union(arrow::datatypes::UnionFields::empty(), arrow::datatypes::UnionMode::Dense);
    let error = TableDigest::new(&Schema::new(vec![Field::new("u", union, true)])).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("cannot be stored"), "{error}");
}

/// The format is frozen: a change of these digests changes every key.
#[test]
fn golden() {
    let batch = common::rows(0, 10);
    assert_eq!(
        digest(std::slice::from_ref(&batch)).to_string(),
        "0cf1a0cbb2d2428ce9708f879d48cbd959b68c5ff25a94a5a36a53e24da2da73"
    );
    assert_eq!(
        row_digests(&batch).unwrap()[3].to_string(),
        "106012c2e710db67f876a616515a96e306fb3e2a87e2db149ce864b7548055d7"
    );
}

/// A row of all kinds of columns.
type Row = (Option<i64>, Option<String>, Vec<Option<i32>>, Option<(bool, String)>, [i32; 2]);

fn table(rows: &[Row]) -> RecordBatch {
    let mut lists = ListBuilder::new(Int32Builder::new());
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    let mut pairs = FixedSizeListBuilder::new(Int32Builder::new(), 2);
    for (_, _, items, inner, pair) in rows {
        lists.append_value(items.iter().copied());
        for item in items {
            maps.keys().append_value(item.map_or("none".to_owned(), |i| i.to_string()));
            maps.values().append_option(*item);
        }
        maps.append(inner.is_some()).unwrap();
        pairs.values().append_slice(pair);
        pairs.append(inner.is_some());
    }
    let structs = StructArray::new(
        vec![Field::new("flag", DataType::Boolean, false), Field::new("name", DataType::Utf8, false)].into(),
        vec![
            Arc::new(rows.iter().map(|r| Some(r.3.as_ref().is_some_and(|s| s.0))).collect::<BooleanArray>()),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.3.as_ref().map_or("", |s| &s.1)))),
        ],
        Some(rows.iter().map(|r| r.3.is_some()).collect()),
    );
    RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()) as ArrayRef, true),
        ("s", Arc::new(rows.iter().map(|r| r.1.as_deref()).collect::<StringArray>()), true),
        ("l", Arc::new(lists.finish()), true),
        ("t", Arc::new(structs), true),
        ("m", Arc::new(maps.finish()), true),
        ("p", Arc::new(pairs.finish()), true),
    ])
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn batch_boundaries_do_not_count(rows: Vec<Row>, cuts: Vec<prop::sample::Index>) {
        let whole = table(&rows);
        let mut at: Vec<usize> = cuts.iter().map(|c| c.index(rows.len() + 1)).chain([0, rows.len()]).collect();
        at.sort_unstable();
        let pieces: Vec<_> = at.windows(2).map(|w| whole.slice(w[0], w[1] - w[0])).collect();
        prop_assert_eq!(digest(std::slice::from_ref(&whole)), digest(&pieces));
        let copies: Vec<_> = at.windows(2).map(|w| table(&rows[w[0]..w[1]])).collect();
        prop_assert_eq!(digest(std::slice::from_ref(&whole)), digest(&copies));
        let by_row = row_digests(&whole).unwrap();
        let by_piece: Vec<_> = pieces.iter().flat_map(|p| row_digests(p).unwrap()).collect();
        prop_assert_eq!(by_row, by_piece);
        prop_assert_eq!(concat_batches(&whole.schema(), &pieces).unwrap(), whole);
    }

    #[test]
    fn equal_digests_mean_equal_rows(a: Vec<Row>, b: Vec<Row>) {
        prop_assert_eq!(table(&a) == table(&b), digest(&[table(&a)]) == digest(&[table(&b)]));
    }
}
