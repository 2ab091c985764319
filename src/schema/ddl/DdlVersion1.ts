/**
 * The bodies of the two functions as version 0.1 of this library made them, so that `verify` tells them from bodies
 * that lose changes: they are unsafe, and are mended, but a tenant that has them can be served.
 */

export const drawRevision = `
BEGIN
  IF TG_OP = 'INSERT' OR (NEW.namespace, NEW.key, NEW.value) IS DISTINCT FROM (OLD.namespace, OLD.key, OLD.value) THEN
    NEW.revision := nextval(format('%I.%I', TG_TABLE_SCHEMA, 'systemplane_revision_seq')::regclass);
    IF TG_OP = 'UPDATE' AND NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at THEN
      NEW.updated_at := now();
    END IF;
  ELSE
    NEW.revision := OLD.revision;
  END IF;
  RETURN NEW;
END
`

export const notify = `
DECLARE
  changed record;
  op text := 'upsert';
  drawn bigint := 0;
BEGIN
  IF TG_OP = 'DELETE' THEN
    changed := OLD;
    op := 'delete';
  ELSE
    changed := NEW;
    drawn := NEW.revision;
  END IF;
  IF TG_OP = 'UPDATE' AND (NEW.namespace, NEW.key) IS DISTINCT FROM (OLD.namespace, OLD.key)
    AND length(OLD.namespace) <= 255 AND length(OLD.key) <= 255 THEN
    PERFORM pg_notify('systemplane_changes', json_build_object(
      'namespace', OLD.namespace, 'key', OLD.key, 'op', 'delete', 'revision', 0
    )::text);
  END IF;
  IF length(changed.namespace) <= 255 AND length(changed.key) <= 255 THEN
    PERFORM pg_notify('systemplane_changes', json_build_object(
      'namespace', changed.namespace, 'key', changed.key, 'op', op, 'revision', drawn
    )::text);
  END IF;
  RETURN NULL;
END
`
