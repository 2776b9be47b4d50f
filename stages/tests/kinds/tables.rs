//! Tables that several tests read or write.

use arrow::{
    array::{AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
};

/// A column of numbers without nulls.
pub(crate) fn numbers(table: &RecordBatch, column: &str) -> Vec<f64> {
    let column = table.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
    cast(column, &DataType::Float64).unwrap().as_primitive::<Float64Type>().values().to_vec()
}

/// Twelve seeds.
pub(crate) fn seeds() -> String {
    let things =
        ["apple", "bone", "cell", "drug", "enzyme", "fever", "gene", "heart", "insulin", "joint", "kidney", "lung"];
    let line = |(i, thing): (usize, &&str)| {
        format!(
            "{{\"id\": \"s{i}\", \"instruction\": \"What is the {thing}?\", \"output\": \"It is {thing} number \
             {i}.\"}}\n"
        )
    };
    things.iter().enumerate().map(line).collect()
}
