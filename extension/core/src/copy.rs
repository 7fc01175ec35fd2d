//! PostgreSQL's COPY BINARY format, written straight into one growing buffer.
//!
//! The hot path of the ingestor: a field is a length and its bytes, and nothing is allocated per field.
//! Values come already in wire format; what they mean is decided elsewhere.

/// Signature, flags and header extension length.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The length of a NULL, and the column count of the trailer.
const NONE: [u8; 4] = (-1i32).to_be_bytes();
/// The only version of jsonb's wire format.
const JSONB_VERSION: u8 = 1;

/// A place in a [`CopyBuffer`] to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    rows: usize,
}

/// A COPY BINARY stream under construction. Each row begins with [`begin_row`](Self::begin_row) and has exactly
/// the columns promised; [`finish`](Self::finish) ends the stream. A row with more or fewer panics: it is a bug of
/// the caller, and would send garbage.
#[derive(Clone, Debug)]
pub struct CopyBuffer {
    bytes: Vec<u8>,
    columns: i16,
    rows: usize,
    /// Columns the current row still lacks.
    missing: i16,
    /// Where the value of the last field begins.
    value: usize,
}

impl CopyBuffer {
    /// A stream whose rows have this many columns, with its header written.
    pub fn new(columns: i16) -> Self {
        Self::with_capacity(columns, 0)
    }

    /// The same, with room for `capacity` bytes.
    pub fn with_capacity(columns: i16, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity.max(HEADER.len()));
        bytes.extend_from_slice(HEADER);
        Self { bytes, columns, rows: 0, missing: 0, value: HEADER.len() }
    }

    /// Starts a row.
    ///
    /// # Panics
    ///
    /// When the row before lacks columns.
    pub fn begin_row(&mut self) {
        assert_eq!(self.missing, 0, "the row before lacks columns");
        self.missing = self.columns;
        self.rows += 1;
        self.bytes.extend_from_slice(&self.columns.to_be_bytes());
    }

    /// A NULL.
    pub fn null(&mut self) {
        self.count_field();
        self.bytes.extend_from_slice(&NONE);
        self.value = self.bytes.len();
    }

    /// A value in wire format: text, bytea, uuid, numeric and so on. Shorter than 2 GiB; PostgreSQL takes no
    /// more than 1 GiB in a field anyway.
    pub fn bytes(&mut self, value: &[u8]) {
        self.begin_value(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// A `smallint`.
    pub fn i16(&mut self, value: i16) {
        self.bytes(&value.to_be_bytes());
    }

    /// An `integer` or a `date`.
    pub fn i32(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    /// A `bigint`, `time`, `timestamp` or `timestamptz`.
    pub fn i64(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    /// A `real`.
    pub fn f32(&mut self, value: f32) {
        self.bytes(&value.to_be_bytes());
    }

    /// A `double precision`.
    pub fn f64(&mut self, value: f64) {
        self.bytes(&value.to_be_bytes());
    }

    /// A `boolean`.
    pub fn bool(&mut self, value: bool) {
        self.bytes(&[u8::from(value)]);
    }

    /// An `interval`.
    pub fn interval(&mut self, months: i32, days: i32, micros: i64) {
        self.begin_value(16);
        self.bytes.extend_from_slice(&micros.to_be_bytes());
        self.bytes.extend_from_slice(&days.to_be_bytes());
        self.bytes.extend_from_slice(&months.to_be_bytes());
    }

    /// A `jsonb`, from its JSON text.
    pub fn jsonb_text(&mut self, text: &[u8]) {
        self.begin_value(text.len() + 1);
        self.bytes.push(JSONB_VERSION);
        self.bytes.extend_from_slice(text);
    }

    /// A value that `write` appends to the buffer itself, for encoders whose length is known only afterwards:
    /// `row.field(|out| numeric::parse_into(text, None, out))`. Nothing is written when it fails.
    pub fn field<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&NONE);
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let length = field_length(self.bytes.len() - start - 4);
        self.bytes[start..start + 4].copy_from_slice(&length);
        self.value = start + 4;
        self.count_field();
        Ok(())
    }

    /// The bytes of the field written last, to hash what is sent; empty after a NULL.
    pub fn last_value(&self) -> &[u8] {
        self.bytes.get(self.value..).unwrap_or_default()
    }

    /// Ends the stream.
    ///
    /// # Panics
    ///
    /// When the last row lacks columns.
    pub fn finish(&mut self) {
        assert_eq!(self.missing, 0, "the last row lacks columns");
        self.bytes.extend_from_slice(&NONE[..2]);
    }

    /// What has been written and not been taken.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes have been written and not been taken.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether everything has been taken. A new stream is not empty: it has its header.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many rows have been begun since the stream was, less those rolled back.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Starts the stream anew, keeping the memory.
    pub fn clear(&mut self) {
        self.rollback(Mark { bytes: 0, rows: 0 });
        self.bytes.extend_from_slice(HEADER);
    }

    /// The present end, between two rows.
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), rows: self.rows }
    }

    /// Takes back everything written after the mark, so that a row that turned out bad leaves no trace.
    /// The mark must be younger than the last [`take`](Self::take).
    pub fn rollback(&mut self, mark: Mark) {
        debug_assert!(mark.bytes <= self.bytes.len(), "the mark lies in bytes already taken");
        self.bytes.truncate(mark.bytes);
        self.rows = mark.rows;
        self.missing = 0;
        self.value = mark.bytes;
    }

    /// Takes what has been written, for sending, and goes on with the same stream in fresh memory of `capacity`
    /// bytes. Call it between two rows.
    pub fn take(&mut self, capacity: usize) -> Vec<u8> {
        self.value = 0;
        std::mem::replace(&mut self.bytes, Vec::with_capacity(capacity))
    }

    #[inline]
    fn count_field(&mut self) {
        assert!(self.missing > 0, "the row has more columns than promised");
        self.missing -= 1;
    }

    #[inline]
    fn begin_value(&mut self, length: usize) {
        self.count_field();
        self.bytes.extend_from_slice(&field_length(length));
        self.value = self.bytes.len();
    }
}

/// A length PostgreSQL will refuse stands in for one that does not fit.
#[inline]
fn field_length(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes()
}
