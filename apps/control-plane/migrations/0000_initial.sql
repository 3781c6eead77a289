CREATE TABLE "claims" (
	"name" text PRIMARY KEY NOT NULL,
	"holder" text NOT NULL,
	"at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "cluster_secrets" (
	"name" text PRIMARY KEY NOT NULL,
	"value" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "idempotent_answers" (
	"caller" text NOT NULL,
	"route" text NOT NULL,
	"key" text NOT NULL,
	"request_digest" text NOT NULL,
	"status" integer,
	"answer" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "idempotent_answers_caller_route_key_pk" PRIMARY KEY("caller","route","key")
);
--> statement-breakpoint
CREATE TABLE "aliases" (
	"organisation_id" text NOT NULL,
	"name" text NOT NULL,
	"deployment_id" text NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "aliases_organisation_id_name_pk" PRIMARY KEY("organisation_id","name")
);
--> statement-breakpoint
CREATE TABLE "deployment_details" (
	"id" text PRIMARY KEY NOT NULL,
	"organisation_id" text NOT NULL,
	"project_id" text NOT NULL,
	"served_as" text NOT NULL,
	"created_by" text,
	"removed_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "log_lines" (
	"sequence" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "log_lines_sequence_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"organisation_id" text NOT NULL,
	"deployment_id" text,
	"replica_id" text,
	"stage_id" text,
	"machine_id" text,
	"level" text NOT NULL,
	"message" text NOT NULL,
	"at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "samples" (
	"subject" text NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"values" jsonb NOT NULL,
	CONSTRAINT "samples_subject_at_pk" PRIMARY KEY("subject","at")
);
--> statement-breakpoint
CREATE TABLE "decisions" (
	"id" text PRIMARY KEY NOT NULL,
	"organisation_id" text NOT NULL,
	"kind" text NOT NULL,
	"deployment_id" text,
	"replica_id" text,
	"summary" text NOT NULL,
	"reasons" jsonb NOT NULL,
	"rejected" jsonb NOT NULL,
	"at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "events" (
	"sequence" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "events_sequence_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"stream" text NOT NULL,
	"version" integer,
	"organisation_id" text NOT NULL,
	"type" text NOT NULL,
	"data" jsonb NOT NULL,
	"cause" jsonb NOT NULL,
	"machine_id" text,
	"deployment_id" text,
	"at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "snapshots" (
	"stream" text PRIMARY KEY NOT NULL,
	"version" integer NOT NULL,
	"state" jsonb NOT NULL,
	"at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "gateways" (
	"id" text PRIMARY KEY NOT NULL,
	"url" text NOT NULL,
	"report" jsonb NOT NULL,
	"reported_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ledger_balances" (
	"account" text PRIMARY KEY NOT NULL,
	"micros" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ledger_entries" (
	"sequence" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "ledger_entries_sequence_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"id" text NOT NULL,
	"key" text NOT NULL,
	"kind" text NOT NULL,
	"content" text NOT NULL,
	"organisation_id" text,
	"request_id" text,
	"description" text NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "ledger_entries_id_unique" UNIQUE("id"),
	CONSTRAINT "ledger_entries_key_unique" UNIQUE("key")
);
--> statement-breakpoint
CREATE TABLE "ledger_postings" (
	"entry" bigint NOT NULL,
	"account" text NOT NULL,
	"micros" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ledger_reservations" (
	"id" text PRIMARY KEY NOT NULL,
	"organisation_id" text NOT NULL,
	"budgets" jsonb NOT NULL,
	"currency" text NOT NULL,
	"price_micros" bigint NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"closing" jsonb
);
--> statement-breakpoint
CREATE TABLE "join_token_details" (
	"id" text PRIMARY KEY NOT NULL,
	"organisation_id" text NOT NULL,
	"prefix" text NOT NULL,
	"location" jsonb
);
--> statement-breakpoint
CREATE TABLE "leases" (
	"machine_id" text PRIMARY KEY NOT NULL,
	"incarnation" integer NOT NULL,
	"sequence" bigint NOT NULL,
	"renewed_at" timestamp (3) with time zone NOT NULL,
	"duration_ms" integer NOT NULL,
	"heard_by" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "links" (
	"from_machine" text NOT NULL,
	"to_machine" text NOT NULL,
	"round_trip_ms" double precision NOT NULL,
	"bytes_per_second" double precision NOT NULL,
	"measured_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "links_from_machine_to_machine_pk" PRIMARY KEY("from_machine","to_machine")
);
--> statement-breakpoint
CREATE TABLE "machine_credentials" (
	"machine_id" text NOT NULL,
	"incarnation" integer NOT NULL,
	"organisation_id" text NOT NULL,
	"digest" text NOT NULL,
	"peer_secret" text NOT NULL,
	"link_address" text,
	CONSTRAINT "machine_credentials_machine_id_incarnation_pk" PRIMARY KEY("machine_id","incarnation"),
	CONSTRAINT "machine_credentials_digest_unique" UNIQUE("digest")
);
--> statement-breakpoint
CREATE TABLE "machine_reports" (
	"machine_id" text PRIMARY KEY NOT NULL,
	"incarnation" integer NOT NULL,
	"sequence" bigint NOT NULL,
	"load" jsonb NOT NULL,
	"stages" jsonb NOT NULL,
	"assignments_version" bigint NOT NULL,
	"reported_at" timestamp (3) with time zone NOT NULL,
	"heard_by" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "machine_settings" (
	"machine_id" text PRIMARY KEY NOT NULL,
	"name" text,
	"location" jsonb,
	"price_per_hour" jsonb,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "blobs" (
	"digest" text PRIMARY KEY NOT NULL,
	"size_bytes" bigint NOT NULL,
	"piece_bytes" integer NOT NULL,
	"pieces" jsonb NOT NULL,
	"path" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "models" (
	"id" text PRIMARY KEY NOT NULL,
	"organisation_id" text NOT NULL,
	"name" text NOT NULL,
	"source" jsonb NOT NULL,
	"wanted_digest" text,
	"state" text NOT NULL,
	"reason" text NOT NULL,
	"reason_since" timestamp (3) with time zone NOT NULL,
	"progress" jsonb,
	"shape" jsonb,
	"footprints" jsonb,
	"fingerprint" text,
	"files" jsonb,
	"size_bytes" bigint,
	"digest" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"removed_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "api_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"organisation_id" text NOT NULL,
	"project_id" text NOT NULL,
	"user_id" text,
	"name" text NOT NULL,
	"prefix" text NOT NULL,
	"digest" text NOT NULL,
	"scopes" jsonb NOT NULL,
	"budget" jsonb,
	"rate_limit" jsonb NOT NULL,
	"created_by" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"last_used_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone,
	CONSTRAINT "api_keys_digest_unique" UNIQUE("digest")
);
--> statement-breakpoint
CREATE TABLE "projects" (
	"id" text PRIMARY KEY NOT NULL,
	"organisation_id" text NOT NULL,
	"name" text NOT NULL,
	"title" text NOT NULL,
	"budget" jsonb,
	"rate_limit" jsonb NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"removed_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "settings" (
	"organisation_id" text PRIMARY KEY NOT NULL,
	"currency" text NOT NULL,
	"budget" jsonb,
	"token_prices" jsonb,
	"placement_policy" jsonb NOT NULL,
	"hub_url" text,
	"request_log_days" integer NOT NULL,
	"event_days" integer NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "accounts" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"provider_id" text NOT NULL,
	"user_id" text NOT NULL,
	"access_token" text,
	"refresh_token" text,
	"id_token" text,
	"access_token_expires_at" timestamp (3) with time zone,
	"refresh_token_expires_at" timestamp (3) with time zone,
	"scope" text,
	"password" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "invitations" (
	"id" text PRIMARY KEY NOT NULL,
	"organisation_id" text NOT NULL,
	"email" text NOT NULL,
	"role" text NOT NULL,
	"token_digest" text NOT NULL,
	"invited_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"accepted_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone,
	CONSTRAINT "invitations_token_digest_unique" UNIQUE("token_digest")
);
--> statement-breakpoint
CREATE TABLE "members" (
	"organisation_id" text NOT NULL,
	"user_id" text NOT NULL,
	"role" text NOT NULL,
	"joined_at" timestamp (3) with time zone NOT NULL,
	"last_seen_at" timestamp (3) with time zone,
	CONSTRAINT "members_organisation_id_user_id_pk" PRIMARY KEY("organisation_id","user_id")
);
--> statement-breakpoint
CREATE TABLE "organisations" (
	"id" text PRIMARY KEY NOT NULL,
	"slug" text NOT NULL,
	"name" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "organisations_slug_unique" UNIQUE("slug")
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"id" text PRIMARY KEY NOT NULL,
	"token" text NOT NULL,
	"user_id" text NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"ip_address" text,
	"user_agent" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "sessions_token_unique" UNIQUE("token")
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"email" text NOT NULL,
	"email_verified" boolean DEFAULT false NOT NULL,
	"image" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "users_email_unique" UNIQUE("email")
);
--> statement-breakpoint
CREATE TABLE "verifications" (
	"id" text PRIMARY KEY NOT NULL,
	"identifier" text NOT NULL,
	"value" text NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "request_records" (
	"id" text PRIMARY KEY NOT NULL,
	"organisation_id" text NOT NULL,
	"project_id" text NOT NULL,
	"key_id" text,
	"user_id" text,
	"model" text NOT NULL,
	"deployment_id" text,
	"replica_id" text,
	"at" timestamp (3) with time zone NOT NULL,
	"status" integer NOT NULL,
	"streamed" boolean NOT NULL,
	"prompt_tokens" integer NOT NULL,
	"cached_prompt_tokens" integer NOT NULL,
	"completion_tokens" integer NOT NULL,
	"currency" text NOT NULL,
	"cost_micros" bigint NOT NULL,
	"ttft_ms" double precision,
	"tpot_ms" double precision,
	"duration_ms" double precision NOT NULL,
	"interruptions" integer NOT NULL,
	"timeline" jsonb NOT NULL,
	"hops" jsonb NOT NULL,
	"split" jsonb
);
--> statement-breakpoint
CREATE TABLE "usage_days" (
	"organisation_id" text NOT NULL,
	"day" date NOT NULL,
	"project_id" text NOT NULL,
	"key_id" text NOT NULL,
	"model" text NOT NULL,
	"requests" bigint NOT NULL,
	"failed_requests" bigint NOT NULL,
	"prompt_tokens" bigint NOT NULL,
	"cached_prompt_tokens" bigint NOT NULL,
	"completion_tokens" bigint NOT NULL,
	"cost_micros" bigint NOT NULL,
	CONSTRAINT "usage_days_organisation_id_day_project_id_key_id_model_pk" PRIMARY KEY("organisation_id","day","project_id","key_id","model")
);
--> statement-breakpoint
ALTER TABLE "ledger_postings" ADD CONSTRAINT "ledger_postings_entry_ledger_entries_sequence_fk" FOREIGN KEY ("entry") REFERENCES "public"."ledger_entries"("sequence") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_organisation_id_organisations_id_fk" FOREIGN KEY ("organisation_id") REFERENCES "public"."organisations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_project_id_projects_id_fk" FOREIGN KEY ("project_id") REFERENCES "public"."projects"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "projects" ADD CONSTRAINT "projects_organisation_id_organisations_id_fk" FOREIGN KEY ("organisation_id") REFERENCES "public"."organisations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "settings" ADD CONSTRAINT "settings_organisation_id_organisations_id_fk" FOREIGN KEY ("organisation_id") REFERENCES "public"."organisations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "accounts" ADD CONSTRAINT "accounts_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "invitations" ADD CONSTRAINT "invitations_organisation_id_organisations_id_fk" FOREIGN KEY ("organisation_id") REFERENCES "public"."organisations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "members" ADD CONSTRAINT "members_organisation_id_organisations_id_fk" FOREIGN KEY ("organisation_id") REFERENCES "public"."organisations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "members" ADD CONSTRAINT "members_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "deployments_served_as" ON "deployment_details" USING btree ("organisation_id","served_as") WHERE "deployment_details"."removed_at" is null;--> statement-breakpoint
CREATE INDEX "log_lines_deployment" ON "log_lines" USING btree ("deployment_id","sequence");--> statement-breakpoint
CREATE INDEX "decisions_organisation" ON "decisions" USING btree ("organisation_id","at");--> statement-breakpoint
CREATE UNIQUE INDEX "events_version" ON "events" USING btree ("stream","version");--> statement-breakpoint
CREATE INDEX "events_organisation" ON "events" USING btree ("organisation_id","sequence");--> statement-breakpoint
CREATE INDEX "ledger_entries_organisation" ON "ledger_entries" USING btree ("organisation_id","sequence");--> statement-breakpoint
CREATE INDEX "ledger_postings_entry" ON "ledger_postings" USING btree ("entry");--> statement-breakpoint
CREATE INDEX "ledger_postings_account" ON "ledger_postings" USING btree ("account");--> statement-breakpoint
CREATE INDEX "ledger_reservations_expiry" ON "ledger_reservations" USING btree ("expires_at");--> statement-breakpoint
CREATE UNIQUE INDEX "models_name" ON "models" USING btree ("organisation_id","name") WHERE "models"."removed_at" is null;--> statement-breakpoint
CREATE INDEX "api_keys_organisation" ON "api_keys" USING btree ("organisation_id","created_at");--> statement-breakpoint
CREATE UNIQUE INDEX "projects_name" ON "projects" USING btree ("organisation_id","name") WHERE "projects"."removed_at" is null;--> statement-breakpoint
CREATE INDEX "accounts_user" ON "accounts" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "invitations_organisation" ON "invitations" USING btree ("organisation_id","created_at");--> statement-breakpoint
CREATE INDEX "members_user" ON "members" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "sessions_user" ON "sessions" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "request_records_organisation" ON "request_records" USING btree ("organisation_id","at");