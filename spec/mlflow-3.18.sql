-- What MLflow 3.18 adds to the schema of 3.17, in the SQL that SQLite and PostgreSQL share. For tests, and for the page
-- mlflow.md, for as long as the MLflow that they have installed is an older one.
CREATE TABLE skills (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL, organization VARCHAR(64) DEFAULT '' NOT NULL,
    name VARCHAR(128) NOT NULL, description TEXT, icons JSON, search_text TEXT,
    created_by VARCHAR(256), last_updated_by VARCHAR(256), created_at BIGINT NOT NULL, last_updated_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, organization, name));
CREATE TABLE skill_versions (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL, organization VARCHAR(64) DEFAULT '' NOT NULL,
    name VARCHAR(128) NOT NULL, version INTEGER NOT NULL, source_type VARCHAR(20), source VARCHAR(2048),
    ref VARCHAR(2048), subpath VARCHAR(2048), digest VARCHAR(64), status VARCHAR(20) DEFAULT 'active' NOT NULL,
    created_by VARCHAR(256), last_updated_by VARCHAR(256), created_at BIGINT NOT NULL, last_updated_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, organization, name, version),
    FOREIGN KEY (workspace, organization, name) REFERENCES skills (workspace, organization, name));
CREATE TABLE skill_tags (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL, organization VARCHAR(64) DEFAULT '' NOT NULL,
    name VARCHAR(128) NOT NULL, key VARCHAR(250) NOT NULL, value TEXT,
    PRIMARY KEY (workspace, organization, name, key),
    FOREIGN KEY (workspace, organization, name) REFERENCES skills (workspace, organization, name));
CREATE TABLE skill_version_tags (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL, organization VARCHAR(64) DEFAULT '' NOT NULL,
    name VARCHAR(128) NOT NULL, version INTEGER NOT NULL, key VARCHAR(250) NOT NULL, value TEXT,
    PRIMARY KEY (workspace, organization, name, version, key),
    FOREIGN KEY (workspace, organization, name, version)
        REFERENCES skill_versions (workspace, organization, name, version));
CREATE TABLE skill_aliases (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL, organization VARCHAR(64) DEFAULT '' NOT NULL,
    name VARCHAR(128) NOT NULL, alias VARCHAR(256) NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (workspace, organization, name, alias),
    FOREIGN KEY (workspace, organization, name) REFERENCES skills (workspace, organization, name));
ALTER TABLE issues ADD COLUMN last_seen_timestamp BIGINT;
ALTER TABLE issues ADD COLUMN last_updated_by VARCHAR(255);
ALTER TABLE issues ADD COLUMN metadata TEXT;
CREATE TABLE issue_categories (
    issue_id VARCHAR(36) NOT NULL, category_hash VARCHAR(64) NOT NULL, category TEXT NOT NULL,
    PRIMARY KEY (issue_id, category_hash), FOREIGN KEY (issue_id) REFERENCES issues (issue_id));
UPDATE alembic_version SET version_num = 'f4a9b2c7d1e6';
