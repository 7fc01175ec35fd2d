//! What a role may do to a table it is to feed. Never: granting.

use super::Session;
use crate::error::Result;

impl Session {
    /// The role of this session.
    pub async fn role(&self) -> Result<String> {
        let row =
            self.client.query_one("SELECT current_user::text", &[]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
    }

    /// What looking for repeated events lacks: rights on their id and time, an index that begins with the id.
    pub async fn missing_for_dedupe(&self, relation: &str, id: &str, time: &str) -> Result<Vec<String>> {
        let sql = "SELECT format('SELECT on its column %I', c) FROM unnest(ARRAY[$2, $3]::text[]) c \
                   WHERE NOT has_column_privilege($1::text::regclass, c, 'SELECT') \
                   UNION ALL SELECT format('an index that begins with %I', $2::text) \
                   WHERE NOT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid \
                                     AND a.attnum = i.indkey[0] AND a.attname = $2 \
                                     WHERE i.indrelid = $1::text::regclass AND i.indpred IS NULL)";
        let rows = self.client.query(sql, &[&relation, &id, &time]).await.map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Which of the rights that feeding a table takes this role lacks.
    pub async fn missing_rights(&self, relation: &str, keyed: bool) -> Result<Vec<String>> {
        let privileges: &[&str] = if keyed { &["SELECT", "INSERT", "UPDATE", "DELETE"] } else { &["INSERT"] };
        // A stage is a temporary table.
        let sql = "SELECT p FROM unnest($2::text[]) p WHERE NOT has_table_privilege($1::text::regclass, p) \
                   UNION ALL SELECT 'TEMPORARY on the database' \
                   WHERE $3 AND NOT has_database_privilege(current_database(), 'TEMPORARY')";
        let rows =
            self.client.query(sql, &[&relation, &privileges, &keyed]).await.map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
