from raydp_wrap.errors import RaydpWrapError, UsageError

from raydp_wrap_spark.errors import JavaNotFoundError, SparkNotFoundError, SubmitEndedError


def test_an_ended_submit_has_a_code_and_no_message():
    ended = SubmitEndedError(3)
    assert isinstance(ended, RaydpWrapError)
    assert (str(ended), ended.exit_code) == ("", 3)
    assert SubmitEndedError(0).exit_code == 0


def test_missing_parts_are_the_users_to_mend_and_exit_as_spark_submit_does():
    assert issubclass(SparkNotFoundError, UsageError)
    assert issubclass(JavaNotFoundError, UsageError)
    assert (SparkNotFoundError.exit_code, JavaNotFoundError.exit_code) == (127, 1)
