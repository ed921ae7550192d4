"""Create the tables of the results store."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('batch',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('drop_name', sa.Text(), nullable=False),
    sa.Column('fingerprint', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), server_default='waiting', nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('claimed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('seconds', sa.Double(), nullable=True),
    sa.Column('peak_memory_bytes', sa.BigInteger(), nullable=True),
    sa.Column('validation', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('warnings', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('data_docs_key', sa.Text(), nullable=True),
    sa.CheckConstraint("state in ('waiting', 'ingested', 'quarantined')", name=op.f('ck_batch_state')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_batch')),
    sa.UniqueConstraint('drop_name', 'fingerprint', name=op.f('uq_batch_drop_name_fingerprint'))
    )
    op.create_table('group_tie',
    sa.Column('kept_group_id', sa.Text(), nullable=False),
    sa.Column('merged_group_id', sa.Text(), nullable=False),
    sa.Column('kept_side', sa.Text(), nullable=False),
    sa.Column('merged_side', sa.Text(), nullable=False),
    sa.Column('evidence', sa.Text(), nullable=False),
    sa.Column('score', sa.Double(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('kept_group_id', 'merged_group_id', name=op.f('pk_group_tie'))
    )
    op.create_table('snapshot',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('counts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('held_out', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('object_key', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_snapshot'))
    )
    op.create_table('run',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('snapshot_id', sa.Text(), nullable=False),
    sa.Column('recipe', sa.Text(), nullable=False),
    sa.Column('recipe_text', sa.Text(), nullable=False),
    sa.Column('recipe_digest', sa.Text(), nullable=False),
    sa.Column('seed', sa.BigInteger(), nullable=False),
    sa.Column('epochs', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.Text(), server_default='planned', nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('trigger', sa.Text(), nullable=False),
    sa.Column('given_split', sa.Boolean(), server_default='false', nullable=False),
    sa.Column('host', sa.Text(), nullable=True),
    sa.Column('device', sa.Text(), nullable=True),
    sa.Column('libraries', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('code_version', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('training_started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('training_finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('peak_memory_bytes', sa.BigInteger(), nullable=True),
    sa.CheckConstraint("state in ('planned', 'training', 'trained', 'evaluated', 'judged', 'failed')", name=op.f('ck_run_state')),
    sa.ForeignKeyConstraint(['snapshot_id'], ['snapshot.id'], name=op.f('fk_run_snapshot_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_run'))
    )
    op.create_index('ix_run_snapshot_id_recipe_digest', 'run', ['snapshot_id', 'recipe_digest'], unique=False)
    op.create_table('scan',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('width', sa.BigInteger(), nullable=False),
    sa.Column('height', sa.BigInteger(), nullable=False),
    sa.Column('mean', sa.Double(), nullable=False),
    sa.Column('deviation', sa.Double(), nullable=False),
    sa.Column('entropy', sa.Double(), nullable=False),
    sa.Column('foreground_share', sa.Double(), nullable=False),
    sa.Column('object_key', sa.Text(), nullable=False),
    sa.Column('batch_id', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['batch_id'], ['batch.id'], name=op.f('fk_scan_batch_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_scan'))
    )
    op.create_index(op.f('ix_scan_batch_id'), 'scan', ['batch_id'], unique=False)
    op.create_table('batch_file',
    sa.Column('batch_id', sa.Text(), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('size_bytes', sa.BigInteger(), nullable=True),
    sa.Column('sha256', sa.Text(), nullable=True),
    sa.Column('object_key', sa.Text(), nullable=True),
    sa.Column('scan_id', sa.Text(), nullable=True),
    sa.Column('label', sa.Text(), nullable=True),
    sa.Column('patient_id', sa.Text(), nullable=True),
    sa.Column('study_id', sa.Text(), nullable=True),
    sa.Column('site', sa.Text(), nullable=True),
    sa.Column('acquired_at', sa.Text(), nullable=True),
    sa.Column('given_split', sa.Text(), nullable=True),
    sa.Column('mask_key', sa.Text(), nullable=True),
    sa.Column('mode', sa.Text(), nullable=True),
    sa.Column('format', sa.Text(), nullable=True),
    sa.Column('warnings', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.CheckConstraint("outcome in ('taken_in', 'duplicate', 'refused', 'companion')", name=op.f('ck_batch_file_outcome')),
    sa.ForeignKeyConstraint(['batch_id'], ['batch.id'], name=op.f('fk_batch_file_batch_id')),
    sa.ForeignKeyConstraint(['scan_id'], ['scan.id'], name=op.f('fk_batch_file_scan_id')),
    sa.PrimaryKeyConstraint('batch_id', 'path', name=op.f('pk_batch_file'))
    )
    op.create_index(op.f('ix_batch_file_scan_id'), 'batch_file', ['scan_id'], unique=False)
    op.create_table('epoch',
    sa.Column('run_id', sa.Text(), nullable=False),
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('phase', sa.Text(), nullable=False),
    sa.Column('loss', sa.Double(), nullable=False),
    sa.Column('accuracy', sa.Double(), nullable=False),
    sa.Column('validation_loss', sa.Double(), nullable=False),
    sa.Column('validation_accuracy', sa.Double(), nullable=False),
    sa.Column('learning_rate', sa.Double(), nullable=False),
    sa.Column('seconds', sa.Double(), nullable=False),
    sa.Column('peak_memory_bytes', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_epoch_run_id')),
    sa.PrimaryKeyConstraint('run_id', 'epoch', name=op.f('pk_epoch'))
    )
    op.create_table('model_version',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('run_id', sa.Text(), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('labels', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('input_size', sa.BigInteger(), nullable=False),
    sa.Column('parameters', sa.BigInteger(), nullable=False),
    sa.Column('object_key', sa.Text(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('given_split', sa.Boolean(), server_default='false', nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_model_version_run_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_model_version')),
    sa.UniqueConstraint('run_id', name=op.f('uq_model_version_run_id'))
    )
    op.create_table('scan_group',
    sa.Column('scan_id', sa.Text(), nullable=False),
    sa.Column('group_id', sa.Text(), nullable=False),
    sa.Column('side', sa.Text(), nullable=False),
    sa.Column('held_out', sa.Boolean(), server_default='false', nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("side in ('train', 'validation', 'test')", name=op.f('ck_scan_group_side')),
    sa.ForeignKeyConstraint(['scan_id'], ['scan.id'], name=op.f('fk_scan_group_scan_id')),
    sa.PrimaryKeyConstraint('scan_id', name=op.f('pk_scan_group'))
    )
    op.create_index('ix_scan_group_group_id', 'scan_group', ['group_id'], unique=False)
    op.create_table('scan_label',
    sa.Column('scan_id', sa.Text(), nullable=False),
    sa.Column('label', sa.Text(), nullable=False),
    sa.Column('batch_id', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['batch_id'], ['batch.id'], name=op.f('fk_scan_label_batch_id')),
    sa.ForeignKeyConstraint(['scan_id'], ['scan.id'], name=op.f('fk_scan_label_scan_id')),
    sa.PrimaryKeyConstraint('scan_id', 'label', name=op.f('pk_scan_label'))
    )
    op.create_table('snapshot_scan',
    sa.Column('snapshot_id', sa.Text(), nullable=False),
    sa.Column('scan_id', sa.Text(), nullable=False),
    sa.Column('label', sa.Text(), nullable=False),
    sa.Column('split', sa.Text(), nullable=False),
    sa.Column('group_id', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['scan_id'], ['scan.id'], name=op.f('fk_snapshot_scan_scan_id')),
    sa.ForeignKeyConstraint(['snapshot_id'], ['snapshot.id'], name=op.f('fk_snapshot_scan_snapshot_id')),
    sa.PrimaryKeyConstraint('snapshot_id', 'scan_id', name=op.f('pk_snapshot_scan'))
    )
    op.create_table('artifact',
    sa.Column('object_key', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('media_type', sa.Text(), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('run_id', sa.Text(), nullable=True),
    sa.Column('model_version_id', sa.Text(), nullable=True),
    sa.Column('scan_id', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['model_version_id'], ['model_version.id'], name=op.f('fk_artifact_model_version_id')),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_artifact_run_id')),
    sa.ForeignKeyConstraint(['scan_id'], ['scan.id'], name=op.f('fk_artifact_scan_id')),
    sa.PrimaryKeyConstraint('object_key', name=op.f('pk_artifact'))
    )
    op.create_index(op.f('ix_artifact_run_id'), 'artifact', ['run_id'], unique=False)
    op.create_table('evaluation',
    sa.Column('run_id', sa.Text(), nullable=False),
    sa.Column('model_version_id', sa.Text(), nullable=False),
    sa.Column('split', sa.Text(), nullable=False),
    sa.Column('metric', sa.Text(), nullable=False),
    sa.Column('slice', sa.Text(), nullable=False),
    sa.Column('value', sa.Double(), nullable=True),
    sa.Column('low', sa.Double(), nullable=True),
    sa.Column('high', sa.Double(), nullable=True),
    sa.Column('scans', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['model_version_id'], ['model_version.id'], name=op.f('fk_evaluation_model_version_id')),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_evaluation_run_id')),
    sa.PrimaryKeyConstraint('run_id', 'model_version_id', 'split', 'metric', 'slice', name=op.f('pk_evaluation'))
    )
    op.create_table('prediction',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('scan_id', sa.Text(), nullable=False),
    sa.Column('model_version_id', sa.Text(), nullable=False),
    sa.Column('run_id', sa.Text(), nullable=True),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('label', sa.Text(), nullable=False),
    sa.Column('probability', sa.Double(), nullable=False),
    sa.Column('probabilities', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('true_label', sa.Text(), nullable=True),
    sa.Column('heatmap_key', sa.Text(), nullable=True),
    sa.CheckConstraint("source in ('evaluation', 'score', 'api')", name=op.f('ck_prediction_source')),
    sa.ForeignKeyConstraint(['model_version_id'], ['model_version.id'], name=op.f('fk_prediction_model_version_id')),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_prediction_run_id')),
    sa.ForeignKeyConstraint(['scan_id'], ['scan.id'], name=op.f('fk_prediction_scan_id')),
    sa.PrimaryKeyConstraint('created_at', 'id', name=op.f('pk_prediction')),
    postgresql_partition_by='RANGE (created_at)'
    )
    op.create_index('ix_prediction_run_id_model_version_id', 'prediction', ['run_id', 'model_version_id'], unique=False)
    op.create_index('ix_prediction_scan_id', 'prediction', ['scan_id'], unique=False)
    op.create_table('verdict',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('run_id', sa.Text(), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('challenger_id', sa.Text(), nullable=False),
    sa.Column('champion_id', sa.Text(), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('policy_text', sa.Text(), nullable=False),
    sa.Column('policy_sha256', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("outcome in ('promoted', 'kept', 'insufficient', 'rejected')", name=op.f('ck_verdict_outcome')),
    sa.ForeignKeyConstraint(['challenger_id'], ['model_version.id'], name=op.f('fk_verdict_challenger_id')),
    sa.ForeignKeyConstraint(['champion_id'], ['model_version.id'], name=op.f('fk_verdict_champion_id')),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_verdict_run_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_verdict')),
    sa.UniqueConstraint('run_id', name=op.f('uq_verdict_run_id'))
    )
    op.create_table('champion',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('model_version_id', sa.Text(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('change', sa.Text(), nullable=False),
    sa.Column('who', sa.Text(), nullable=False),
    sa.Column('why', sa.Text(), nullable=False),
    sa.Column('verdict_id', sa.Text(), nullable=True),
    sa.Column('pinned', sa.Boolean(), server_default='false', nullable=False),
    sa.ForeignKeyConstraint(['model_version_id'], ['model_version.id'], name=op.f('fk_champion_model_version_id')),
    sa.ForeignKeyConstraint(['verdict_id'], ['verdict.id'], name=op.f('fk_champion_verdict_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_champion'))
    )
    op.create_index('uq_champion_open', 'champion', ['task'], unique=True, postgresql_where=sa.text('until is null'))
    op.create_table('verdict_rule',
    sa.Column('verdict_id', sa.Text(), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=False),
    sa.Column('rule', sa.Text(), nullable=False),
    sa.Column('slice', sa.Text(), nullable=False),
    sa.Column('result', sa.Text(), nullable=False),
    sa.Column('challenger_value', sa.Double(), nullable=True),
    sa.Column('champion_value', sa.Double(), nullable=True),
    sa.Column('difference', sa.Double(), nullable=True),
    sa.Column('low', sa.Double(), nullable=True),
    sa.Column('high', sa.Double(), nullable=True),
    sa.Column('threshold', sa.Double(), nullable=True),
    sa.Column('scans', sa.BigInteger(), nullable=False),
    sa.Column('groups', sa.BigInteger(), nullable=False),
    sa.Column('explanation', sa.Text(), nullable=False),
    sa.CheckConstraint("result in ('passed', 'failed', 'insufficient')", name=op.f('ck_verdict_rule_result')),
    sa.ForeignKeyConstraint(['verdict_id'], ['verdict.id'], name=op.f('fk_verdict_rule_verdict_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('verdict_id', 'position', name=op.f('pk_verdict_rule'))
    )


def downgrade() -> None:
    raise RuntimeError("Revision 0001 cannot be downgraded. Drop the database instead.")
