-- Prepares a PostgreSQL (14 or newer) for MyBookshelf2: its login, its database, and what only a superuser may add.
-- A container of the official image runs it once, when its volume is empty (mount it into
-- /docker-entrypoint-initdb.d); elsewhere: psql -U postgres -f deploy/server/initdb/mybookshelf2.sql
-- It takes MBS2_DB_USER, MBS2_DB_NAME (both "ebooks" if not set) and MBS2_DB_PASSWORD (or MBS2_DB_PASSWORD_FILE) from the environment, and
-- leaves alone what is already there. The tables are made afterwards by `manage.py create_tables`.
\set ON_ERROR_STOP on
\set user ebooks
\set database ebooks
\set password ''
\getenv user MBS2_DB_USER
\getenv database MBS2_DB_NAME
\getenv password MBS2_DB_PASSWORD
-- Or the file that MBS2_DB_PASSWORD_FILE names, as a secret of Docker.
\set password_file ''
\getenv password_file MBS2_DB_PASSWORD_FILE
SELECT :'password_file' <> '' AND :'password' = '' AS in_file \gset
\if :in_file
    \set password `cat "$MBS2_DB_PASSWORD_FILE"`
\endif
SELECT coalesce(nullif(:'user', ''), 'ebooks') AS user, coalesce(nullif(:'database', ''), 'ebooks') AS database \gset
SELECT :'password' = '' AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') AS missing \gset
\if :missing
    \warn MBS2_DB_PASSWORD is not set, nor in MBS2_DB_PASSWORD_FILE; it is the password the server will log in with; make one with: openssl rand -hex 32
    DO $$ BEGIN RAISE EXCEPTION 'MBS2_DB_PASSWORD is not set'; END $$;
\endif

-- Not a superuser: the web server's login must not be able to run programs or read files of the database's machine.
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', :'user', :'password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
SELECT format('CREATE DATABASE %I OWNER %I ENCODING ''UTF8'' TEMPLATE template0', :'database', :'user')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec

\connect :"database"
CREATE EXTENSION IF NOT EXISTS unaccent;
SET ROLE :"user";
-- Full-text search: English word stems, accents ignored. MyBookshelf2 asks for it by the name "custom".
SELECT NOT EXISTS (SELECT FROM pg_ts_config WHERE cfgname = 'custom') AS absent \gset
\if :absent
    BEGIN;
    CREATE TEXT SEARCH CONFIGURATION custom (COPY = english);
    ALTER TEXT SEARCH CONFIGURATION custom ALTER MAPPING FOR word, hword, hword_part WITH unaccent, english_stem;
    COMMIT;
\endif
