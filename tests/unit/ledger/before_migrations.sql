BEGIN TRANSACTION;
CREATE TABLE cluster (
	id INTEGER NOT NULL, 
	name VARCHAR(253) NOT NULL, 
	epoch BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "cluster" VALUES(1,'here',1);
CREATE TABLE correction (
	id INTEGER NOT NULL, 
	meter_id INTEGER NOT NULL, 
	dimensions TEXT NOT NULL, 
	billed_id INTEGER NOT NULL, 
	was_id INTEGER NOT NULL, 
	rate_id INTEGER NOT NULL, 
	start BIGINT NOT NULL, 
	"end" BIGINT NOT NULL, 
	known BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(meter_id) REFERENCES meter (id)
);
CREATE TABLE coverage (
	meter_id INTEGER NOT NULL, 
	slot BIGINT NOT NULL, 
	covered_seconds INTEGER NOT NULL, 
	total_seconds INTEGER NOT NULL, 
	known BIGINT NOT NULL, 
	PRIMARY KEY (meter_id, slot)
)
 WITHOUT ROWID
;
INSERT INTO "coverage" VALUES(1,0,900,900,1900);
INSERT INTO "coverage" VALUES(1,900,600,900,1900);
CREATE TABLE level (
	id INTEGER NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	meter_id INTEGER NOT NULL, 
	family VARCHAR(63) NOT NULL, 
	labels TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	value BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (hash)
);
CREATE TABLE levels_end (
	meter_id INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	PRIMARY KEY (meter_id)
);
CREATE TABLE line (
	id INTEGER NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	meter_id INTEGER NOT NULL, 
	subject_id INTEGER NOT NULL, 
	kind VARCHAR(253) NOT NULL, 
	name VARCHAR(253) NOT NULL, 
	dimensions TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (hash), 
	FOREIGN KEY(meter_id) REFERENCES meter (id), 
	FOREIGN KEY(subject_id) REFERENCES subject (id)
);
INSERT INTO "line" VALUES(1,'a7acf6787b416b984f33fec5fdda9654d804c099382e697c40b0d99251cb915d',1,1,'Deployment','llm','{"gpuProduct":"H100"}');
INSERT INTO "line" VALUES(2,'e43637b84923ddf236d774cbec6d67ee16329a0e491f176835f17094a4a854f8',1,1,'Deployment','rag','{"gpuProduct":"H100"}');
CREATE TABLE line_label (
	line_id INTEGER NOT NULL, 
	labels TEXT NOT NULL, 
	PRIMARY KEY (line_id), 
	FOREIGN KEY(line_id) REFERENCES line (id)
);
CREATE TABLE meter (
	id INTEGER NOT NULL, 
	cluster_id INTEGER NOT NULL, 
	name VARCHAR(63) NOT NULL, 
	begins BIGINT, 
	watermark BIGINT, 
	revision BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (cluster_id, name), 
	FOREIGN KEY(cluster_id) REFERENCES cluster (id)
);
INSERT INTO "meter" VALUES(1,1,'gpu',0,1800,1);
CREATE TABLE owner_link (
	cluster_id INTEGER NOT NULL, 
	namespace VARCHAR(253) NOT NULL, 
	kind VARCHAR(253) NOT NULL, 
	name VARCHAR(253) NOT NULL, 
	uid VARCHAR(63) NOT NULL, 
	owner_kind VARCHAR(253) NOT NULL, 
	owner_name VARCHAR(253) NOT NULL, 
	known BIGINT NOT NULL, 
	PRIMARY KEY (cluster_id, namespace, kind, name, uid)
)
 WITHOUT ROWID
;
CREATE TABLE price_book (
	cluster_id INTEGER NOT NULL, 
	content TEXT NOT NULL, 
	known BIGINT NOT NULL, 
	repriced BIGINT NOT NULL, 
	PRIMARY KEY (cluster_id)
);
CREATE TABLE rate (
	id INTEGER NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	content TEXT NOT NULL, 
	known BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (hash)
);
INSERT INTO "rate" VALUES(1,'0801a8474e3e4107e761c47a6f86e70d','{"currency":"USD","end":253402300800,"includes":[],"listPrice":"2","match":{},"meter":"gpu","name":"any","price":"2","priority":10,"source":"list","start":0,"unit":"GPU-Hours"}',1900);
CREATE TABLE schema_version (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1);
CREATE TABLE subject (
	id INTEGER NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	cluster_id INTEGER NOT NULL, 
	namespace VARCHAR(253) NOT NULL, 
	labels TEXT NOT NULL, 
	known BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (hash), 
	FOREIGN KEY(cluster_id) REFERENCES cluster (id)
);
INSERT INTO "subject" VALUES(1,'c8b0af4c9a32b2343ee9aacc9770b1f29baa016f536eae4526d8a11fd980919b',1,'team','{"cost-center":"7"}',1900);
CREATE TABLE usage (
	meter_id INTEGER NOT NULL, 
	slot BIGINT NOT NULL, 
	line_id INTEGER NOT NULL, 
	rate_id INTEGER, 
	quantity BIGINT NOT NULL, 
	estimated BIGINT NOT NULL, 
	busy BIGINT NOT NULL, 
	observed BIGINT NOT NULL, 
	PRIMARY KEY (meter_id, slot, line_id)
)
 WITHOUT ROWID
;
INSERT INTO "usage" VALUES(1,0,1,1,900000,0,0,0);
INSERT INTO "usage" VALUES(1,900,1,1,600000,0,0,0);
INSERT INTO "usage" VALUES(1,900,2,NULL,450000,0,0,0);
CREATE INDEX ix_level_meter_id ON level (meter_id);
CREATE INDEX correction_known ON correction (meter_id, known);
COMMIT;
