-- Prepares the PostgreSQL of a MyBookshelf2 server for a migration:
--   * an index on source(size, hash), unique when no duplicates stand in the way: every upload asks for a file by these
--     two, and without an index the server reads the whole table each time;
--   * the languages of ISO 639-1 that it lacks (it ships four);
--   * if one is asked for, a role that may do what the direct lane does, and nothing else (docs/direct_lane.md).
-- No existing row is changed. It may be run again at any time: it finds what is there, removes what an interrupted run
-- left half made, and makes a plain index unique once the duplicates are gone.
--
-- Run it with `python -m deploy.prepare_server`, or by hand, as the user who owns the tables:
--     psql -X -f deploy/prepare_server/prepare_server.sql postgresql://USER@HOST:PORT/DATABASE
-- and with PGOPTIONS='-c prepare_server.role=NAME' for the role, whose password is then set by psql's \password NAME.
--
-- How it is built: a statement that ends with \gexec is a question, and its answer is the statements to be run. Nothing
-- else changes anything, so a dry run asks the questions in a read-only session and shows the answers. CREATE INDEX
-- CONCURRENTLY can be part of no function and no transaction; this way it still depends on what is there. Lines that
-- begin with a backslash are for psql only. Nothing here is newer than PostgreSQL 9.6. How to undo it:
-- docs/deployment.md.

\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on

SET client_encoding = 'UTF8';
-- Building an index takes as long as it takes; it locks neither readers nor writers out.
SET statement_timeout = 0;

-- ISO 639-1, a line each: code, blank, name. Written by `python -m deploy.prepare_server.language_sql`; do not edit.
SET prepare_server.languages = $list$
aa Afar
ab Abkhazian
ae Avestan
af Afrikaans
ak Akan
am Amharic
an Aragonese
ar Arabic
as Assamese
av Avaric
ay Aymara
az Azerbaijani
ba Bashkir
be Belarusian
bg Bulgarian
bi Bislama
bm Bambara
bn Bengali
bo Tibetan
br Breton
bs Bosnian
ca Catalan
ce Chechen
ch Chamorro
co Corsican
cr Cree
cs Czech
cu Church Slavic
cv Chuvash
cy Welsh
da Danish
de German
dv Divehi
dz Dzongkha
ee Ewe
el Modern Greek (1453-)
en English
eo Esperanto
es Spanish
et Estonian
eu Basque
fa Persian
ff Fulah
fi Finnish
fj Fijian
fo Faroese
fr French
fy Western Frisian
ga Irish
gd Scottish Gaelic
gl Galician
gn Guarani
gu Gujarati
gv Manx
ha Hausa
he Hebrew
hi Hindi
ho Hiri Motu
hr Croatian
ht Haitian
hu Hungarian
hy Armenian
hz Herero
ia Interlingua (International Auxiliary Language Association)
id Indonesian
ie Interlingue
ig Igbo
ii Sichuan Yi
ik Inupiaq
io Ido
is Icelandic
it Italian
iu Inuktitut
ja Japanese
jv Javanese
ka Georgian
kg Kongo
ki Kikuyu
kj Kuanyama
kk Kazakh
kl Kalaallisut
km Khmer
kn Kannada
ko Korean
kr Kanuri
ks Kashmiri
ku Kurdish
kv Komi
kw Cornish
ky Kirghiz
la Latin
lb Luxembourgish
lg Ganda
li Limburgan
ln Lingala
lo Lao
lt Lithuanian
lu Luba-Katanga
lv Latvian
mg Malagasy
mh Marshallese
mi Maori
mk Macedonian
ml Malayalam
mn Mongolian
mr Marathi
ms Malay (macrolanguage)
mt Maltese
my Burmese
na Nauru
nb Norwegian Bokmål
nd North Ndebele
ne Nepali (macrolanguage)
ng Ndonga
nl Dutch
nn Norwegian Nynorsk
no Norwegian
nr South Ndebele
nv Navajo
ny Chichewa
oc Occitan (post 1500)
oj Ojibwa
om Oromo
or Oriya (macrolanguage)
os Ossetian
pa Panjabi
pi Pali
pl Polish
ps Pushto
pt Portuguese
qu Quechua
rm Romansh
rn Rundi
ro Romanian
ru Russian
rw Kinyarwanda
sa Sanskrit
sc Sardinian
sd Sindhi
se Northern Sami
sg Sango
sh Serbo-Croatian
si Sinhala
sk Slovak
sl Slovenian
sm Samoan
sn Shona
so Somali
sq Albanian
sr Serbian
ss Swati
st Southern Sotho
su Sundanese
sv Swedish
sw Swahili (macrolanguage)
ta Tamil
te Telugu
tg Tajik
th Thai
ti Tigrinya
tk Turkmen
tl Tagalog
tn Tswana
to Tonga (Tonga Islands)
tr Turkish
ts Tsonga
tt Tatar
tw Twi
ty Tahitian
ug Uighur
uk Ukrainian
ur Urdu
uz Uzbek
ve Venda
vi Vietnamese
vo Volapük
wa Walloon
wo Wolof
xh Xhosa
yi Yiddish
yo Yoruba
za Zhuang
zh Chinese
zu Zulu
$list$;

-- What a role of the direct lane may do, a line each: table, blank, rights.
SET prepare_server.rights = $rights$
author SELECT INSERT DELETE
series SELECT INSERT DELETE
ebook SELECT INSERT UPDATE DELETE
ebook_authors SELECT INSERT UPDATE DELETE
ebook_genres SELECT INSERT
source SELECT INSERT DELETE
ebook_rating SELECT INSERT DELETE
upload SELECT INSERT DELETE
bookshelf SELECT INSERT UPDATE
bookshelf_item SELECT INSERT DELETE
language SELECT
genre SELECT
format SELECT
version SELECT
synonym SELECT
$rights$;

-- Is this MyBookshelf2's, may this user do it, is nobody else at it? Remembers what is there before anything is done.
DO $$
DECLARE
    lacking text;
    grants text[] := '{}';
    owner name;
    ids text;
    last bigint;
    highest bigint;
    holder int;
BEGIN
    -- Who waits for a lock longer than this gives up. Nobody has to wait behind us meanwhile: no lock that is asked for
    -- here keeps readers or writers out.
    PERFORM set_config(
        'lock_timeout', coalesce(nullif(current_setting('prepare_server.lock_timeout', true), ''), '60s'), false
    );

    IF current_setting('server_version_num')::int < 90600 THEN
        RAISE EXCEPTION 'PostgreSQL 9.6 or newer is needed, this is %', current_setting('server_version')
            USING ERRCODE = 'MBS01', HINT = 'Upgrade it, or make the index by hand.';
    END IF;
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'this is a standby server, which takes no changes' USING ERRCODE = 'MBS01',
            HINT = 'Connect to the primary server.';
    END IF;

    SELECT string_agg(wanted.tab || '.' || wanted.col, ', ') INTO lacking
    FROM (VALUES
        ('source', 'ebook_id'), ('source', 'location'), ('source', 'format_id'), ('source', 'size'), ('source', 'hash'),
        ('language', 'id'), ('language', 'code'), ('language', 'name'), ('language', 'version_id'),
        ('ebook', 'base_dir'), ('ebook', 'language_id'), ('format', 'mime_type'), ('upload', 'load_source')
    ) AS wanted (tab, col)
    WHERE NOT EXISTS (
        SELECT 1 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.oid = to_regclass(wanted.tab) AND c.relkind = 'r' AND a.attname = wanted.col AND NOT a.attisdropped
    );
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION 'the database "%" is not MyBookshelf2''s: it has no %', current_database(), lacking
            USING ERRCODE = 'MBS01', HINT = 'Is its name right, and has MyBookshelf2 made its tables in it?';
    END IF;

    -- A sequence that belongs to the column, or else the one its default asks.
    SELECT coalesce(pg_get_serial_sequence('language', 'id'), (
        SELECT s.oid::regclass::text
        FROM pg_attrdef d
        JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
        JOIN pg_class s ON p.refclassid = 'pg_class'::regclass AND s.oid = p.refobjid AND s.relkind = 'S'
        WHERE d.adrelid = 'language'::regclass AND a.attname = 'id'
    )) INTO ids;
    IF ids IS NULL THEN
        RAISE EXCEPTION 'language.id has no sequence to take ids from' USING ERRCODE = 'MBS01',
            HINT = 'Give the column a default from a sequence, as MyBookshelf2 makes it.';
    END IF;

    SELECT pg_get_userbyid(relowner) INTO owner FROM pg_class WHERE oid = 'source'::regclass;
    IF NOT pg_has_role(owner, 'USAGE') THEN
        grants := grants || format('GRANT %I TO %I', owner, current_user);
    END IF;
    IF NOT (SELECT has_schema_privilege(relnamespace, 'CREATE') FROM pg_class WHERE oid = 'source'::regclass) THEN
        grants := grants || (
            SELECT format('GRANT CREATE ON SCHEMA %s TO %I', relnamespace::regnamespace, current_user)
            FROM pg_class WHERE oid = 'source'::regclass
        );
    END IF;
    IF NOT (has_table_privilege('language', 'SELECT') AND has_table_privilege('language', 'INSERT')) THEN
        grants := grants || format('GRANT SELECT, INSERT ON language TO %I', current_user);
    END IF;
    IF NOT (has_sequence_privilege(ids, 'USAGE') AND has_sequence_privilege(ids, 'SELECT')) THEN
        grants := grants || format('GRANT USAGE, SELECT ON SEQUENCE %s TO %I', ids, current_user);
    END IF;
    IF grants <> '{}' THEN
        RAISE EXCEPTION 'the user "%" lacks the rights for this', current_user USING ERRCODE = 'MBS02',
            HINT = format('Connect as "%s", or let an administrator run: %s;', owner, array_to_string(grants, '; '));
    END IF;

    IF coalesce(current_setting('prepare_server.role', true), '') <> '' THEN
        IF octet_length(current_setting('prepare_server.role')) > 63 THEN
            RAISE EXCEPTION 'the name of the role is longer than 63 bytes' USING ERRCODE = 'MBS01',
                HINT = 'Choose a shorter one.';
        END IF;
        SELECT string_agg(split_part(line, ' ', 1), ', ') INTO lacking
        FROM unnest(string_to_array(current_setting('prepare_server.rights'), chr(10))) AS line
        WHERE line <> '' AND to_regclass(split_part(line, ' ', 1)) IS NULL;
        IF lacking IS NOT NULL THEN
            RAISE EXCEPTION 'the database "%" has not all tables of the direct lane: it has no %',
                current_database(), lacking
                USING ERRCODE = 'MBS01', HINT = 'Is this MyBookshelf2''s of today?';
        END IF;
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = current_setting('prepare_server.role'))
            AND NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolcreaterole))
        THEN
            RAISE EXCEPTION 'the user "%" may not make the role "%"', current_user, current_setting('prepare_server.role')
                USING ERRCODE = 'MBS02', HINT = format(
                    'Let an administrator run: CREATE ROLE %I LOGIN; then run this again.',
                    current_setting('prepare_server.role')
                );
        END IF;
    END IF;

    -- Not waited for: whoever waits in a query holds a snapshot, and CREATE INDEX CONCURRENTLY would wait for that.
    IF NOT pg_try_advisory_lock(20251125, 6) THEN
        SELECT pid INTO holder FROM pg_locks
        WHERE locktype = 'advisory' AND classid = 20251125 AND objid = 6 AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
        RAISE EXCEPTION 'somebody else is preparing this database just now (server process %)', holder
            USING ERRCODE = 'MBS03', HINT = 'Wait until that has ended, then run this again.';
    END IF;

    EXECUTE format('SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM %s', ids) INTO last;
    SELECT coalesce(max(id), 0) INTO highest FROM language;
    PERFORM set_config('prepare_server.ids', ids, false);
    PERFORM set_config('prepare_server.ids_behind', greatest(0, highest - last)::text, false);
    PERFORM set_config('prepare_server.indexes', coalesce((
        SELECT string_agg(indexrelid::text, ' ') FROM pg_index WHERE indrelid = 'source'::regclass AND indisvalid
    ), ''), false);
END
$$;

-- The index. What is half made goes first; a plain index stays in force until the unique one is there. Any index counts
-- that answers "this size and this hash", whatever its name.
WITH have AS (
    SELECT indexrelid::regclass AS name, relname, indisvalid AS valid, indisunique AS proves,
        pg_get_indexdef(indexrelid) ~ ' USING (btree|hash) \((size, hash|hash, size|hash)\)$' AS fits
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = 'source'::regclass
), there AS (
    SELECT EXISTS (SELECT 1 FROM have WHERE fits AND valid) AS found,
        EXISTS (SELECT 1 FROM have WHERE fits AND valid AND proves) AS is_unique
), wanted AS (
    SELECT *, is_unique OR NOT EXISTS (SELECT 1 FROM source GROUP BY size, hash HAVING count(*) > 1) AS may_be_unique
    FROM there
)
SELECT run FROM (
    SELECT 1 AS step, format('DROP INDEX CONCURRENTLY %s', name) AS run
    FROM have WHERE NOT valid AND relname IN ('source_size_hash', 'source_size_hash_unique')
    UNION ALL
    SELECT 2, format('CREATE UNIQUE INDEX CONCURRENTLY source_size_hash_unique ON %s (size, hash)', 'source'::regclass)
    FROM wanted WHERE NOT is_unique AND may_be_unique
    UNION ALL
    SELECT 2, format('CREATE INDEX CONCURRENTLY source_size_hash ON %s (size, hash)', 'source'::regclass)
    FROM wanted WHERE NOT found AND NOT may_be_unique
    UNION ALL
    SELECT 3, format('DROP INDEX CONCURRENTLY %s', name)
    FROM have, wanted WHERE fits AND valid AND NOT proves AND relname = 'source_size_hash' AND may_be_unique
) AS todo ORDER BY step
\gexec

-- The languages. A sequence that is behind (rows came with their ids) is moved on first: forwards only, by nextval.
WITH iso AS (
    SELECT left(line, 2) AS code, substr(line, 4) AS name
    FROM unnest(string_to_array(current_setting('prepare_server.languages'), chr(10))) AS line WHERE line <> ''
), missing AS (
    SELECT code, name FROM iso WHERE NOT EXISTS (
        SELECT 1 FROM language WHERE language.code = iso.code OR lower(language.name) = lower(iso.name)
    )
)
SELECT run FROM (
    SELECT 1 AS step, format(
        'SELECT format(''language: its sequence was %%s behind and was moved on'', count(nextval(%L))) '
        'FROM generate_series(1, %s)',
        current_setting('prepare_server.ids'), current_setting('prepare_server.ids_behind')
    ) AS run
    WHERE current_setting('prepare_server.ids_behind')::bigint > 0 AND EXISTS (SELECT 1 FROM missing)
    UNION ALL
    SELECT 2, format(
        'WITH added AS (INSERT INTO language (code, name, version_id) VALUES %s RETURNING code) '
        'SELECT format(''language: added %%s: %%s'', count(*), string_agg(code, '' '' ORDER BY code)) FROM added',
        string_agg(format('(%L, %L, 1)', code, name), ', ' ORDER BY code)
    ) FROM missing HAVING count(*) > 0
) AS todo ORDER BY step
\gexec

-- The role of the direct lane: made if it is missing, and given what it lacks of its rights. What all may do
-- (role 0) need not be given.
WITH lane AS (
    SELECT wanted.name, r.oid FROM (
        SELECT nullif(current_setting('prepare_server.role', true), '') AS name
    ) AS wanted LEFT JOIN pg_roles r ON r.rolname = wanted.name WHERE wanted.name IS NOT NULL
), wanted AS (
    SELECT n, to_regclass(split_part(line, ' ', 1)) AS tab, u.allowed
    FROM unnest(string_to_array(current_setting('prepare_server.rights'), chr(10))) WITH ORDINALITY AS x (line, n),
        unnest((string_to_array(line, ' '))[2:]) AS u (allowed)
    WHERE line <> ''
), ids AS (
    SELECT DISTINCT n, coalesce(pg_get_serial_sequence(tab::text, 'id'), tab || '_id_seq') AS seq FROM wanted
    WHERE allowed = 'INSERT' AND EXISTS (
        SELECT 1 FROM pg_attribute WHERE attrelid = tab AND attname = 'id' AND NOT attisdropped
    )
)
SELECT run FROM (
    SELECT 1 AS step, 0::bigint AS n, format('CREATE ROLE %I LOGIN', name) AS run FROM lane WHERE oid IS NULL
    UNION ALL
    SELECT 2, n, format('GRANT %s ON %s TO %I', string_agg(allowed, ', '), tab, name) FROM lane, wanted
    WHERE NOT has_table_privilege(coalesce(oid, 0), tab, allowed)
    GROUP BY n, tab, name
    UNION ALL
    SELECT 3, n, format('GRANT USAGE, SELECT ON SEQUENCE %s TO %I', seq, name) FROM lane, ids
    WHERE NOT (has_sequence_privilege(coalesce(oid, 0), seq, 'USAGE')
        AND has_sequence_privilege(coalesce(oid, 0), seq, 'SELECT'))
    UNION ALL
    -- The other columns of this table are passwords and mail addresses.
    SELECT 4, 0, format('GRANT SELECT (%s) ON "user" TO %I', string_agg(col, ', '), name)
    FROM lane, unnest(ARRAY['id', 'user_name', 'active']) AS c (col)
    WHERE NOT has_column_privilege(coalesce(oid, 0), '"user"', col, 'SELECT')
    GROUP BY name
    UNION ALL
    SELECT 5, 0, format('GRANT %s ON DATABASE %I TO %I', string_agg(allowed, ', '), current_database(), name)
    FROM lane, unnest(ARRAY['CONNECT', 'TEMPORARY']) AS d (allowed)
    WHERE NOT has_database_privilege(coalesce(oid, 0), current_database(), allowed)
    GROUP BY name
    UNION ALL
    SELECT 6, 0, format('GRANT USAGE ON SCHEMA %s TO %I', relnamespace::regnamespace, name)
    FROM lane, pg_class WHERE pg_class.oid = 'source'::regclass
        AND NOT has_schema_privilege(coalesce(lane.oid, 0), relnamespace, 'USAGE')
) AS todo ORDER BY step, n
\gexec

-- What there is now.
WITH have AS (
    SELECT indexrelid::regclass AS name, indexrelid AS oid, indisunique AS proves
    FROM pg_index WHERE indrelid = 'source'::regclass AND indisvalid
        AND pg_get_indexdef(indexrelid) ~ ' USING (btree|hash) \((size, hash|hash, size|hash)\)$'
), twice AS (
    SELECT count(*) AS files, coalesce(sum(copies) - count(*), 0) AS surplus FROM (
        SELECT count(*) AS copies FROM source
        WHERE NOT EXISTS (SELECT 1 FROM have WHERE proves) GROUP BY size, hash HAVING count(*) > 1
    ) AS copied
)
SELECT format(
    'source: %s index %s, %s, %s', CASE WHEN proves THEN 'unique' ELSE 'plain' END, name,
    pg_size_pretty(pg_relation_size(oid)),
    CASE WHEN oid::text = ANY (string_to_array(current_setting('prepare_server.indexes'), ' '))
        THEN 'there before' ELSE 'made now' END
) FROM have
UNION ALL
SELECT 'source: there is no index on (size, hash)' WHERE NOT EXISTS (SELECT 1 FROM have)
UNION ALL
SELECT format(
    'source: %s files are there more than once (%s rows too many), so no index can be unique. Look at them with: '
    'SELECT size, hash, count(*), array_agg(ebook_id) FROM source GROUP BY size, hash HAVING count(*) > 1; '
    'when they are gone, run this again', files, surplus
) FROM twice WHERE files > 0;

WITH iso AS (
    SELECT left(line, 2) AS code, substr(line, 4) AS name
    FROM unnest(string_to_array(current_setting('prepare_server.languages'), chr(10))) AS line WHERE line <> ''
), seen AS (
    SELECT iso.code, iso.name, EXISTS (SELECT 1 FROM language WHERE language.code = iso.code) AS there,
        (SELECT min(language.code) FROM language WHERE lower(language.name) = lower(iso.name)) AS namesake
    FROM iso
)
SELECT format('language: %s of the %s languages of ISO 639-1 are there', count(*) FILTER (WHERE there), count(*))
FROM seen
UNION ALL
SELECT format('language: %s is left out: there is a language %s under the code %s', code, name, namesake)
FROM seen WHERE NOT there AND namesake IS NOT NULL;

WITH lane AS (
    SELECT rolname, rolsuper FROM pg_roles WHERE rolname = nullif(current_setting('prepare_server.role', true), '')
)
SELECT format('role: %s may do what the direct lane does', rolname) FROM lane
UNION ALL
SELECT format('role: %s is a superuser, which it need not be', rolname) FROM lane WHERE rolsuper;
