//! Types of columns as people write them.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

/// `string`, `int64`, `list<string>`: the words of pandas, Arrow's Python and SQL, not those of Arrow's Rust.
pub fn type_name(of: &DataType) -> String {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    };
    match of {
        DataType::Null => "null".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".to_owned(),
        DataType::FixedSizeBinary(bytes) => format!("binary[{bytes}]"),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(of) | DataType::Time64(of) => format!("time[{}]", unit(of)),
        DataType::Timestamp(of, None) => format!("timestamp[{}]", unit(of)),
        DataType::Timestamp(of, Some(zone)) => format!("timestamp[{}, {zone}]", unit(of)),
        DataType::Duration(of) => format!("duration[{}]", unit(of)),
        DataType::Interval(of) => match of {
            IntervalUnit::YearMonth => "interval[months]".to_owned(),
            IntervalUnit::DayTime => "interval[days]".to_owned(),
            IntervalUnit::MonthDayNano => "interval".to_owned(),
        },
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => format!("decimal({digits}, {scale})"),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            format!("list<{}>", type_name(item.data_type()))
        }
        DataType::FixedSizeList(item, n) => format!("list<{}>[{n}]", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| format!("{}: {}", field.name(), type_name(field.data_type())));
            format!("struct<{}>", fields.collect::<Vec<_>>().join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("map<{}, {}>", type_name(pair[0].data_type()), type_name(pair[1].data_type()))
            }
            other => format!("map<{}>", type_name(other)),
        },
        DataType::Dictionary(_, values) => type_name(values),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type()),
        // The numbers: Int64, UInt8, Float32.
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Fields};

    use super::*;

    #[test]
    fn types_are_named_as_people_write_them() {
        let item = |of| Arc::new(Field::new_list_field(of, true));
        let fields = Fields::from(vec![Field::new("a", DataType::UInt8, true), Field::new("b", DataType::Utf8, true)]);
        for (of, name) in [
            (DataType::Utf8, "string"),
            (DataType::Int64, "int64"),
            (DataType::Float32, "float32"),
            (DataType::Boolean, "bool"),
            (DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), "timestamp[ms, UTC]"),
            (DataType::Decimal128(20, 3), "decimal(20, 3)"),
            (DataType::List(item(DataType::Struct(fields))), "list<struct<a: uint8, b: string>>"),
            (DataType::FixedSizeList(item(DataType::Float32), 384), "list<float32>[384]"),
        ] {
            assert_eq!(type_name(&of), name);
        }
    }
}
