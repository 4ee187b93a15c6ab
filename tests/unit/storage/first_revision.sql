-- A database as the code of schema 0001 made it, dumped with Python's sqlite3.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE changes (
	repository TEXT NOT NULL, 
	policy_group TEXT NOT NULL, 
	name TEXT NOT NULL, 
	version TEXT NOT NULL, 
	what TEXT NOT NULL, 
	stamp BIGINT NOT NULL, 
	CONSTRAINT pk_changes PRIMARY KEY (repository, policy_group, name, version, what)
);
INSERT INTO "changes" VALUES('rooms','pexip','service','1.0','published',2);
INSERT INTO "changes" VALUES('rooms','pexip','service','1.0','locked',3);
INSERT INTO "changes" VALUES('rooms','pexip','service','1.0','failed',4);
INSERT INTO "changes" VALUES('rooms','pexip','worse','1.0','failed',5);
CREATE TABLE documents (
	digest TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	CONSTRAINT pk_documents PRIMARY KEY (digest)
);
INSERT INTO "documents" VALUES('f9d86028c6e0d64e225186f96acb69338b2c59764df79162107f5c4bb34d1310',8,'{"a": 1}');
INSERT INTO "documents" VALUES('5496bb3632c8ad35b4c724355d640e5c89678e8a0c01d3ab293ef874adcc524c',10,'{"own": 1}');
INSERT INTO "documents" VALUES('1d84e76299773f0460736c0a8394ae2b117a0700628517a45767656f44977769',10,'{"b": "ü"}');
CREATE TABLE leases (
	name TEXT NOT NULL, 
	holder TEXT NOT NULL, 
	until BIGINT NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (name)
);
INSERT INTO "leases" VALUES('job','ada',1779019800123456);
CREATE TABLE modules (
	digest TEXT NOT NULL, 
	wasm BLOB NOT NULL, 
	CONSTRAINT pk_modules PRIMARY KEY (digest)
);
INSERT INTO "modules" VALUES('43a507596fa058d609c05f4cf88eae3531a63a832c55e8a82c60b559cb167251',X'0061736D61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161');
INSERT INTO "modules" VALUES('7e69205a6d99e33fc1eb6529aa81d662b7d48290e3ac3b547fb512408364a51b',X'0061736D62626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262');
CREATE TABLE policies (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	repository TEXT NOT NULL, 
	policy_group TEXT NOT NULL, 
	name TEXT NOT NULL, 
	version TEXT NOT NULL, 
	folded_name TEXT NOT NULL, 
	active INTEGER, 
	locked_at BIGINT, 
	failure_code TEXT, 
	failure_message TEXT, 
	failure_at BIGINT, 
	failure_source_digest TEXT, 
	updated_at BIGINT NOT NULL, 
	CONSTRAINT uq_policies_repository UNIQUE (repository, policy_group, name, version)
);
INSERT INTO "policies" VALUES(1,'rooms','pexip','service','1.0','service',2,1779019206123456,'compile-error','no such rule',1779019207123456,'source-x',1779019207123456);
INSERT INTO "policies" VALUES(2,'rooms','pexip','worse','1.0','worse',NULL,NULL,'compile-error','no such rule',1779019208123456,'source-x',1779019208123456);
CREATE TABLE refreshes (
	repository TEXT NOT NULL, 
	policy_group TEXT NOT NULL, 
	name TEXT NOT NULL, 
	version TEXT NOT NULL, 
	config_digest TEXT NOT NULL, 
	next_run BIGINT, 
	last_attempt BIGINT, 
	last_success BIGINT, 
	error TEXT, 
	size BIGINT, 
	digest TEXT, 
	failures INTEGER NOT NULL, 
	CONSTRAINT pk_refreshes PRIMARY KEY (repository, policy_group, name, version)
);
INSERT INTO "refreshes" VALUES('rooms','pexip','service','1.0','config',1779019260123456,1779019200123456,1779019140123456,'timed out',12345678901,'abc',3);
CREATE TABLE revisions (
	policy_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	digest TEXT NOT NULL, 
	author TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	dialect TEXT NOT NULL, 
	origin TEXT NOT NULL, 
	module TEXT NOT NULL, 
	source_digest TEXT NOT NULL, 
	opa_version TEXT NOT NULL, 
	compiled_dialect TEXT NOT NULL, 
	entrypoints JSON NOT NULL, 
	builtins JSON NOT NULL, 
	rego TEXT NOT NULL, 
	source_data TEXT, 
	data TEXT, 
	data_config TEXT, 
	output_schema TEXT, 
	export_config TEXT, 
	CONSTRAINT pk_revisions PRIMARY KEY (policy_id, number), 
	CONSTRAINT fk_revisions_policy_id FOREIGN KEY(policy_id) REFERENCES policies (id) ON DELETE CASCADE, 
	CONSTRAINT fk_revisions_module FOREIGN KEY(module) REFERENCES modules (digest), 
	CONSTRAINT fk_revisions_source_data FOREIGN KEY(source_data) REFERENCES documents (digest), 
	CONSTRAINT fk_revisions_data FOREIGN KEY(data) REFERENCES documents (digest)
);
INSERT INTO "revisions" VALUES(1,1,'digest-a','ada',1779019200123456,'v1','test','43a507596fa058d609c05f4cf88eae3531a63a832c55e8a82c60b559cb167251','source-a','1.22.2','v1','["pexip/service", "pexip/service/decision"]','["time.now_ns"]','package pexip.service

mark := ''a''
','f9d86028c6e0d64e225186f96acb69338b2c59764df79162107f5c4bb34d1310','f9d86028c6e0d64e225186f96acb69338b2c59764df79162107f5c4bb34d1310','{"url": "http://127.0.0.1/data"}','{"type": "object"}','{}');
INSERT INTO "revisions" VALUES(1,2,'digest-b','ada',1779019205123456,'v1','test','7e69205a6d99e33fc1eb6529aa81d662b7d48290e3ac3b547fb512408364a51b','source-b','1.22.2','v1','["pexip/service", "pexip/service/decision"]','["time.now_ns"]','package pexip.service

mark := ''b''
','5496bb3632c8ad35b4c724355d640e5c89678e8a0c01d3ab293ef874adcc524c','1d84e76299773f0460736c0a8394ae2b117a0700628517a45767656f44977769','{"url": "http://127.0.0.1/data"}','{"type": "object"}','{}');
CREATE TABLE stamps (
	id INTEGER NOT NULL, 
	stamp BIGINT NOT NULL, 
	CONSTRAINT pk_stamps PRIMARY KEY (id), 
	CONSTRAINT ck_stamps_single CHECK (id = 1)
);
INSERT INTO "stamps" VALUES(1,5);
CREATE INDEX ix_policies_locked_at ON policies (locked_at) WHERE locked_at IS NOT NULL;
CREATE INDEX ix_revisions_module ON revisions (module);
CREATE INDEX ix_revisions_source_data ON revisions (source_data);
CREATE INDEX ix_revisions_data ON revisions (data);
CREATE INDEX ix_changes_stamp ON changes (stamp);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('policies',2);
COMMIT;
